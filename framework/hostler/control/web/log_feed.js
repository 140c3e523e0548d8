// The lines of one server's log: the last ones, then those to come, over its restarts and a lost connection.

import {plain} from "./ansi.js";
import {Problem, get, serverPath} from "./session.js";
import {frames} from "./stream.js";
import {refusal} from "./toast.js";
import {visible, whileVisible} from "./visibility.js";

export const MOST = 5000;
const DROPPED = 500; // at a time
const PAGE = 1000;
const RETRY = 1000;

export class LogFeed extends EventTarget {
  constructor(server) {
    super();
    this.items = []; // {kind: "line" | "run" | "gap", ...}; lines have `plain`, and the `mark` of their run
    this.previous = null; // the cursor of what is older
    this._server = server;
    this._end = new AbortController();
    this._mark = null; // of the last run
    this._earlier = null; // while they are loaded
  }

  close() {
    this._end.abort();
  }

  async begin() {
    const signal = this._end.signal;
    let cursor = null;
    while (!signal.aborted) {
      await visible();
      const seen = whileVisible(signal);
      try {
        if (cursor === null) {
          const page = await get(serverPath(this._server, `/log?limit=${PAGE}`), signal);
          this.previous = page.previous;
          this._add(page.lines.map((line) => this._line(line)));
          cursor = page.next;
        }
        const path = serverPath(this._server, `/log?after=${encodeURIComponent(cursor)}`);
        for await (const many of frames(path, seen.signal)) {
          this._add(many.map((one) => this._item(one)));
          cursor = many.reduce((last, one) => one.cursor || last, cursor);
        }
      } catch (error) {
        if (error instanceof Problem && error.status === 422) cursor = null; // of a log that is gone
        if (!seen.signal.aborted) await new Promise((resolve) => setTimeout(resolve, RETRY));
      } finally {
        seen.abort();
      }
    }
  }

  // Older lines, where there is room for them; once, however often they are asked for meanwhile.
  loadEarlier() {
    this._earlier ??= this._loadEarlier()
      .catch((error) => { if (!this._end.signal.aborted) refusal(error); })
      .finally(() => { this._earlier = null; });
  }

  async _loadEarlier() {
    if (!this.previous || this.items.length >= MOST) return;
    const limit = Math.min(PAGE, MOST - this.items.length);
    const path = serverPath(this._server, `/log?limit=${limit}&before=${encodeURIComponent(this.previous)}`);
    const page = await get(path, this._end.signal);
    this.previous = page.previous;
    const newest = this._mark;
    this._mark = null;
    const items = this._withRuns(page.lines.map((line) => this._line(line)));
    this._join(items, this._mark);
    this._mark = newest;
    this.items.unshift(...items);
    this._tell("earlier", {count: items.length});
  }

  // The run that these lines end with may be the one that those behind them begin with.
  _join(items, last) {
    const first = this.items.find((one) => one.mark)?.mark;
    if (!last || !first || !isOf(first, last)) return;
    const begun = items.indexOf(last);
    this.items = this.items.filter((one) => one !== first);
    Object.assign(first, {pid: first.pid || last.pid, time: last.time});
    items[begun] = first;
    for (const one of items) if (one.mark === last) one.mark = first;
  }

  _line(line) {
    return {kind: "line", ...line, plain: plain(line.text)};
  }

  _item({kind, value}) {
    return kind === "line" ? this._line(value) : {kind, ...value};
  }

  _add(many) {
    const added = [];
    for (const item of this._withRuns(many)) {
      const last = added.length ? added[added.length - 1] : this.items[this.items.length - 1];
      // A line that had no end yet comes again, longer.
      if (item.kind === "line" && last?.partial && item.stream === last.stream && item.text.startsWith(last.text)) Object.assign(last, item);
      else added.push(item);
    }
    this.items.push(...added);
    const dropped = this.items.length > MOST ? this.items.length - MOST + DROPPED : 0;
    if (dropped) {
      this.items.splice(0, dropped);
      this.previous = null;
    }
    if (many.length) this._tell("lines", {added, dropped});
  }

  // With a mark where another run begins. A stream tells that itself; pages do not. The number alone does
  // not tell runs apart: those of another hostler begin with 1 again.
  _withRuns(many) {
    const all = [];
    for (const item of many) {
      const {run, pid, time} = item;
      if (run === null || run === undefined) {
        all.push(item);
        continue;
      }
      if (!this._mark || !isOf(item, this._mark)) {
        this._mark = {kind: "run", run, pid, time};
        this._mark.mark = this._mark;
        all.push(this._mark);
      }
      item.mark = this._mark;
      this._mark.pid ||= pid;
      if (item.kind !== "run") all.push(item);
    }
    return all;
  }

  _tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, {detail}));
  }
}

// Whether a line, or a mark, is of the run that another mark begins.
function isOf({run, pid}, mark) {
  return run === mark.run && (!pid || !mark.pid || pid === mark.pid);
}
