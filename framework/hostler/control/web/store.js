// What is known of all servers: a snapshot, kept up to date by the events behind it.

import {Problem, get, serverPath} from "./session.js";
import {frames} from "./stream.js";
import {visible, whileVisible} from "./visibility.js";

const REFRESH = 10000; // memory, CPU
const HIDDEN_REFRESH = 60000; // what the title tells; hostler also listens on for a page that asks
const GATHER = 120; // of events, before the rows are asked for again
const FEW = 4; // rows that are asked for one by one
const RETRY = [250, 500, 1000, 2000];
const POINTS = 60; // of a spark line
const CRASH_SEEN = 250; // that a crash is shown at least: its next state follows within the same millisecond

export class Store extends EventTarget {
  constructor() {
    super();
    this.rows = new Map();
    this.daemon = null;
    this.connection = "connecting"; // live, lost, refused
    this.lastNews = null;
    this.gap = null; // the last events that were missed: {missed, time}
    this.usage = new Map(); // by name: [{time, rss, cpu, generation}]
    this._dirty = new Set();
    this._timer = null;
    this._held = new Map(); // by name: the states that wait until a crash was seen
  }

  // Goes on until the token is refused.
  async run() {
    const never = new AbortController().signal;
    for (let attempt = 0; ; attempt++) {
      const seen = whileVisible(never);
      try {
        await this._load();
        attempt = 0;
        await this._follow(seen.signal);
      } catch (error) {
        if (seen.signal.aborted) {
          await this._wait();
          continue;
        }
        if (error instanceof Problem && [401, 403].includes(error.status)) {
          this._connect("refused");
          return;
        }
        this._connect("lost");
      } finally {
        seen.abort();
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY[Math.min(attempt, RETRY.length - 1)]));
    }
  }

  // Until the page is seen again.
  async _wait() {
    const refresh = setInterval(() => this._refreshAll(), HIDDEN_REFRESH);
    await visible();
    clearInterval(refresh);
  }

  async _load() {
    const [daemon, list] = await Promise.all([get("/v1"), get("/v1/servers")]);
    this.daemon = daemon;
    this._cursor = list.cursor;
    this._take(list.servers, true);
    if (this.connection === "live") this._tell("connection", {}); // something was missed while nobody looked
    else this._connect("live");
    this._tell("rows", {});
  }

  async _follow(signal) {
    const refresh = setInterval(() => this._refreshAll(), REFRESH);
    try {
      for await (const many of frames(`/v1/events?after=${encodeURIComponent(this._cursor)}`, signal)) {
        this.lastNews = new Date();
        for (const one of many) this._note(one);
      }
    } finally {
      clearInterval(refresh);
    }
  }

  _note({kind, cursor, value}) {
    this._cursor = cursor || this._cursor;
    if (kind === "gap") {
      this.gap = {missed: value.missed, time: new Date()};
      this._tell("gap", this.gap);
      this._refreshAll();
      return;
    }
    const row = this.rows.get(value.server);
    if (kind === "state" && row) this._change(row.name, value);
    this._tell("event", {kind, value});
    const fresh = kind === "notice" && ["server_added", "server_removed", "reloaded"].includes(value.topic);
    if (!row || fresh) this._dirty.add("");
    else if (kind !== "memory") this._dirty.add(value.server);
    this._timer ??= setTimeout(() => this._refresh(), GATHER);
  }

  _change(name, value) {
    const row = this.rows.get(name), held = this._held.get(name);
    if (held) return held.push(value);
    if (!row) return;
    Object.assign(row, {state: value.state, since: value.time, reason: value.reason, pid: value.pid, url: value.url});
    this._tell("row", {row, previous: value.previous});
    if (value.state === "crashed") {
      this._held.set(name, []);
      setTimeout(() => this._release(name), CRASH_SEEN);
    }
  }

  _release(name) {
    const held = this._held.get(name);
    this._held.delete(name);
    for (const value of held) this._change(name, value);
    this._dirty.add(name);
    this._timer ??= setTimeout(() => this._refresh(), GATHER);
  }

  async _refresh() {
    const names = [...this._dirty];
    this._dirty.clear();
    this._timer = null;
    if (!names.length) return;
    if (names.length > FEW || names.includes("")) return this._refreshAll();
    try {
      this._take(await Promise.all(names.map((name) => get(serverPath(name)))), false);
    } catch (error) {
      if (error instanceof Problem) this._refreshAll();
    }
  }

  async _refreshAll() {
    try {
      const list = await get("/v1/servers");
      this._take(list.servers, true);
      this._tell("rows", {});
    } catch (error) {
      // The stream tells when the connection is lost.
    }
  }

  _take(rows, all) {
    if (all) {
      const names = new Set(rows.map((row) => row.name));
      for (const name of [...this.rows.keys()].filter((one) => !names.has(one))) {
        this.rows.delete(name);
        this.usage.delete(name);
      }
    }
    for (const row of rows.filter((one) => !this._held.has(one.name) || !this.rows.has(one.name))) {
      row.readAt = Date.now();
      const known = this.rows.get(row.name);
      this.rows.set(row.name, known ? Object.assign(known, row) : row);
      this._keepUsage(row);
      this._tell("row", {row: this.rows.get(row.name)});
    }
  }

  _keepUsage(row) {
    if (!row.memory) return;
    const one = {time: row.memory.at, rss: row.memory.rss, cpu: row.cpu_seconds, generation: row.generation};
    this.addUsage(row.name, [one]);
  }

  // Adds samples in the order of their times; each once.
  addUsage(name, samples) {
    const known = this.usage.get(name) || [];
    const newest = known.length ? known[known.length - 1].time : "";
    const merged = [...known, ...samples.filter((one) => one.time > newest)];
    this.usage.set(name, merged.slice(-POINTS));
  }

  // Replaces what is known by the samples of the last hour.
  setHistory(name, samples) {
    this.usage.delete(name);
    this.addUsage(name, samples);
    const row = this.rows.get(name);
    if (row) this._tell("row", {row});
  }

  // The share of one processor that a server used between its last two samples; null where that is not known.
  cpu(name) {
    const known = this.usage.get(name) || [];
    return known.length < 2 ? null : share(known[known.length - 2], known[known.length - 1]);
  }

  _connect(state) {
    if (state === "live") this.lastNews = new Date();
    if (this.connection === state) return;
    this.connection = state;
    this._tell("connection", {});
  }

  _tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, {detail}));
  }
}

export function share(before, after) {
  const seconds = (Date.parse(after.time) - Date.parse(before.time)) / 1000;
  if (before.generation !== after.generation || seconds <= 0) return null;
  return Math.max(after.cpu - before.cpu, 0) / seconds;
}
