// The log of one server: follow, search, streams and runs, copy and download.

import {attribute, button, h, text} from "./dom.js";
import {plural} from "./format.js";
import {LogFeed, MOST} from "./log_feed.js";
import {LogLines} from "./log_lines.js";
import {LogSearch} from "./log_search.js";
import {copy} from "./toast.js";

export class Log {
  constructor(server) {
    this._server = server;
    this._feed = new LogFeed(server);
    this._search = new LogSearch();
    this._view = new LogLines(this._search, () => this._onScroll());
    this._follows = true;
    this._news = 0;
    this._marks = []; // of the runs to choose from, as `_runs` calls them
    this._runs = "";
    this._chosen = null; // the mark of the chosen run
    this._words = h("input", {type: "search", id: "search", placeholder: "Search in the log", "aria-label": "Search in the log", autocomplete: "off", spellcheck: "false", oninput: () => this._look()});
    this._words.addEventListener("keydown", (event) => { if (event.key === "Enter") this._step(event.shiftKey ? -1 : 1); });
    this._pattern = h("input", {type: "checkbox", onchange: () => this._look()});
    this._found = h("output", {class: "muted found"});
    this._stream = h("select", {"aria-label": "Stream", onchange: () => this._select()},
      ["all", "stdout", "stderr"].map((one) => h("option", {value: one === "all" ? "" : one}, one === "all" ? "All output" : one)));
    this._run = h("select", {"aria-label": "Run", onchange: () => this._choose(this._marks[this._run.value])}, h("option", {value: ""}, "All runs"));
    this._follow = button("Follow", () => this.follow(!this._follows), {"aria-pressed": "true"});
    this._new = button("", () => this.follow(true), {class: "new-lines primary", hidden: true});
    this._earlier = button("Load earlier lines", () => this._feed.loadEarlier(), {class: "quiet"});
    this._empty = h("p", {class: "muted log-empty"}, "It has printed nothing yet.");
    this.element = h("section", {class: "panel log", "aria-labelledby": "log-title"},
      h("div", {class: "panel-head"}, h("h2", {id: "log-title"}, "Log"), this._earlier, h("span", {class: "space"}),
        this._follow, button("Copy", () => copy(this._plain(), "The log")), button("Download", () => this._download())),
      h("div", {class: "tools"}, this._words, h("label", {class: "check"}, this._pattern, "Regular expression"),
        button("Previous", () => this._step(-1)), button("Next", () => this._step(1)), this._found, h("span", {class: "space"}), this._stream, this._run),
      h("div", {class: "log-frame"}, this._view.element, this._empty, this._new));
    this._feed.addEventListener("lines", ({detail}) => this._onLines(detail));
    this._feed.addEventListener("earlier", ({detail}) => this._onEarlier(detail));
    this._feed.begin();
    this._update();
  }

  close() {
    this._feed.close();
    this._view.close();
  }

  onKey(key) {
    if (key === "f") this.follow(!this._follows);
    else if (key === "n" || key === "N") this._step(key === "n" ? 1 : -1);
    else return false;
    return true;
  }

  follow(does) {
    this._follows = does;
    if (does) {
      this._news = 0;
      this._view.toEnd();
    }
    this._update();
  }

  // -- lines ----------------------------------------------------------------------------------

  _fits(item) {
    const {value: stream} = this._stream;
    if (item.kind === "gap") return true;
    return (!this._chosen || item.mark === this._chosen) && (item.kind === "run" || !stream || item.stream === stream);
  }

  _choose(mark) {
    this._chosen = mark || null;
    this._select();
  }

  _select() {
    this._view.lines = this._feed.items.filter((item) => this._fits(item));
    this._search.look(this._view.lines);
    if (this._follows) this._view.toEnd();
    else this._view.draw();
    this._update();
  }

  _onLines({added, dropped}) {
    const before = this._view.lines.length;
    const fitting = added.filter((item) => this._fits(item));
    if (dropped) {
      this._view.lines = this._feed.items.filter((item) => this._fits(item));
      this._search.look(this._view.lines);
    } else {
      this._view.lines.push(...fitting);
      this._search.more(this._view.lines, before);
    }
    if (!this._follows) {
      this._news += fitting.filter((item) => item.kind === "line").length;
      if (dropped) this._view.shift(this._view.lines.length - before - fitting.length);
    }
    this._drawSoon();
  }

  _onEarlier({count}) {
    const before = this._view.lines.length;
    this._follows = false;
    this._select();
    if (count) this._view.shift(this._view.lines.length - before);
  }

  // However many lines come, once for each picture of the screen.
  _drawSoon() {
    this._waits ??= requestAnimationFrame(() => {
      this._waits = null;
      if (this._follows) this._view.toEnd();
      else this._view.draw();
      this._update();
    });
  }

  _onScroll() {
    const isAtEnd = this._view.isAtEnd;
    if (isAtEnd === this._follows) return;
    this._follows = isAtEnd;
    if (isAtEnd) this._news = 0;
    this._update();
  }

  // -- search ---------------------------------------------------------------------------------

  _look() {
    const mistake = this._search.set(this._words.value, this._pattern.checked);
    attribute(this._words, "aria-invalid", mistake ? "true" : null);
    this._mistake = mistake;
    this._search.look(this._view.lines);
    if (this._search.places.length) this._step(1);
    this._view.draw();
    this._update();
  }

  _step(direction) {
    const line = this._search.step(direction, this._view.first);
    if (line === null) return;
    this._follows = false;
    this._view.toLine(line);
    this._update();
  }

  // -- what is told ---------------------------------------------------------------------------

  _update() {
    attribute(this._follow, "aria-pressed", String(this._follows));
    this._new.hidden = this._follows || this._news === 0;
    text(this._new, `${plural(this._news, "new line")} ↓`);
    const {places, at, isOn} = this._search;
    text(this._found, this._mistake ? `No regular expression: ${this._mistake}` : !isOn ? "" : places.length ? `${at + 1} of ${plural(places.length, "line")}` : "not found");
    this._empty.hidden = this._view.lines.length > 0;
    text(this._empty, this._feed.items.length ? "No line is left by this choice of output and run." : "It has printed nothing yet, or nothing is kept of it.");
    this._earlier.hidden = !this._feed.previous || this._feed.items.length >= MOST;
    this._marks = [...new Set(this._feed.items.map((item) => item.mark).filter(Boolean))];
    if (this._chosen && !this._marks.includes(this._chosen)) return this._choose(null);
    const runs = this._marks.map((mark) => this._nameOf(mark));
    if (runs.join() === this._runs) return;
    this._runs = runs.join();
    this._run.replaceChildren(h("option", {value: ""}, "All runs"), ...runs.map((run, at) => h("option", {value: at, selected: this._marks[at] === this._chosen}, run)));
  }

  // Each hostler counts the runs anew.
  _nameOf({run, pid}) {
    const isOne = this._marks.filter((one) => one.run === run).length === 1;
    return isOne || !pid ? `Run ${run}` : `Run ${run} (pid ${pid})`;
  }

  _plain() {
    return this._view.lines.map((item) => item.kind === "run" ? `--- run ${item.run} began ---` : item.kind === "gap" ? "--- some lines are missing here ---"
      : `${item.time || ""} ${item.plain}`.trimStart()).join("\n");
  }

  _download() {
    const url = URL.createObjectURL(new Blob([this._plain(), "\n"], {type: "text/plain"}));
    h("a", {href: url, download: `${this._server}.log`}).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }
}
