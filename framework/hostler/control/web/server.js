// The page of one server.

import {commandButtons} from "./actions.js";
import {crashList} from "./crashes.js";
import {configuration, plugins, processes} from "./details.js";
import {attribute, button, h, text} from "./dom.js";
import {advice, explain} from "./explain.js";
import * as facts from "./facts.js";
import {duration, percent, size} from "./format.js";
import {Log} from "./log.js";
import {message} from "./message.js";
import {Plots} from "./plots.js";
import {badge} from "./row.js";
import {Timeline} from "./timeline.js";
import {copy} from "./toast.js";

const HOUR = 3600e3, LEAST = 300e3; // milliseconds that the plots show
const SAMPLES = 10000;

export class ServerPage {
  constructor(store, name) {
    this.server = this.title = name;
    this._store = store;
    this._end = new AbortController();
    this._records = [];
    this._state = badge();
    this._buttons = commandButtons(() => store.rows.get(name));
    this._log = new Log(name);
    this._timeline = new Timeline(name);
    this._plots = new Plots(name);
    this._sentences = h("div", {class: "sentences"});
    this._crashes = h("div", {});
    this._facts = Object.fromEntries(["URL", "Pid", "Run", "Uptime", "Restarts", "Memory", "CPU", "Log file"].map((label) => [label, h("span", {})]));
    this.element = h("div", {class: "server-page"}, this._head(),
      h("section", {class: "panel", "aria-labelledby": "why-title"}, h("div", {class: "panel-head"}, h("h2", {id: "why-title"}, "Explained")), this._sentences),
      h("section", {class: "panel", "aria-labelledby": "hour-title"}, h("div", {class: "panel-head"}, h("h2", {id: "hour-title"}, "States, memory and CPU")), this._timeline.element, this._plots.element),
      this._log.element,
      h("section", {class: "panel", "aria-labelledby": "crash-title"}, h("div", {class: "panel-head"}, h("h2", {id: "crash-title"}, "Crashes")), this._crashes),
      configuration(name), plugins(name), processes(name));
    this._listen();
    this._update();
    this._load();
  }

  close() {
    this._end.abort();
    clearInterval(this._ticker);
    clearInterval(this._sampler);
    this._log.close();
    this._plots.close();
  }

  onKey(key) {
    return this._log.onKey(key);
  }

  _head() {
    const copied = (label) => button("Copy", () => copy(this._facts[label].textContent, `The ${label === "URL" ? "URL" : "path"}`), {class: "quiet", "aria-label": `Copy the ${label === "URL" ? "URL" : "path of the log file"}`});
    this._copies = {URL: copied("URL"), "Log file": copied("Log file")};
    return h("div", {class: "panel page-head"},
      h("nav", {"aria-label": "Way back"}, h("a", {href: "#/"}, "← All servers")),
      h("div", {class: "page-title"}, h("h1", {}, this.server), this._state.element, h("span", {class: "space"}), h("div", {class: "buttons"}, this._buttons.elements)),
      h("dl", {class: "facts"}, Object.entries(this._facts).map(([label, value]) =>
        h("div", {class: "fact"}, h("dt", {}, label), h("dd", {class: "with-copy"}, value, this._copies[label])))));
  }

  _listen() {
    const listen = {signal: this._end.signal}, store = this._store;
    store.addEventListener("row", ({detail}) => { if (detail.row.name === this.server) this._update(); }, listen);
    store.addEventListener("rows", () => { if (!store.rows.has(this.server)) this._gone(); }, listen);
    store.addEventListener("connection", () => { if (store.connection === "live") this._load(); }, listen);
    store.addEventListener("event", ({detail: {kind, value}}) => {
      if (value.server !== this.server) return;
      if (kind === "state") { this._timeline.note(value); this._draw(); }
      if (kind === "crash") this._loadCrashes();
    }, listen);
    document.addEventListener("theme", () => { this._plots.forget(); this._draw(); }, listen);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this._plots.forget(); this._draw(); }, listen);
    this._ticker = setInterval(() => { if (store.connection === "live") this._tick(); }, 1000);
    this._sampler = setInterval(() => this._loadSamples(), SAMPLES);
  }

  async _load() {
    await this._try(() => this._timeline.load(this._end.signal));
    await Promise.all([this._loadSamples(), this._loadCrashes()]);
  }

  async _loadSamples() {
    await this._try(() => this._plots.load(this._end.signal));
    this._draw();
  }

  async _loadCrashes() {
    await this._try(async () => {
      this._records = await this._timeline.loadCrashes(this._end.signal);
      this._crashes.replaceChildren(crashList(this._records));
      this._explain();
      this._draw();
    });
  }

  // Whether hostler answers is told by the header, and all is read again once it does.
  async _try(work) {
    try {
      await work();
    } catch (error) {
      if (!this._end.signal.aborted && error.status === 404) this._gone();
    }
  }

  _draw() {
    const row = this._store.rows.get(this.server);
    if (this._end.signal.aborted || !row) return;
    const isLive = this._store.connection === "live";
    const now = isLive ? Date.now() : this._until ?? Date.now(); // what was since the last news is not known
    this._until = now;
    const from = now - Math.min(Math.max(now - (this._plots.first ?? now), LEAST), HOUR);
    this._timeline.draw(from, now, row.state, Date.parse(this._store.daemon.since));
    this._plots.draw(from, now, isLive && row.pid ? row.generation : null);
  }

  _update() {
    const row = this._store.rows.get(this.server);
    if (!row) return;
    this._state.update(row);
    this._buttons.update(row);
    const isLink = /^https?:\/\//.test(row.url || "");
    const shown = row.url && isLink ? h("a", {href: row.url, target: "_blank", rel: "noreferrer noopener"}, row.url) : row.url || "–";
    if (this._facts.URL.textContent !== (row.url || "–")) this._facts.URL.replaceChildren(shown);
    this._copies.URL.hidden = !row.url;
    text(this._facts["Log file"], row.log || "none");
    this._copies["Log file"].hidden = !row.log;
    text(this._facts.Pid, row.pid ? String(row.pid) : "–");
    text(this._facts.Run, row.generation ? String(row.generation) : "–");
    text(this._facts.Memory, row.pid && row.memory ? `${size(row.memory.rss)}, ${row.memory.processes} ${row.memory.processes === 1 ? "process" : "processes"}` : "–");
    text(this._facts.CPU, row.pid ? percent(this._store.cpu(row.name)) : "–");
    this._explain();
    this._tick();
  }

  _tick() {
    const row = this._store.rows.get(this.server);
    if (!row) return;
    text(this._facts.Uptime, duration(facts.uptime(row)));
    text(this._facts.Restarts, facts.restarts(row));
  }

  _explain() {
    const row = this._store.rows.get(this.server);
    const words = [...explain(row, this._records), advice(row)].filter(Boolean);
    if (words.join() === this._told) return;
    this._told = words.join();
    attribute(this._sentences, "data-state", row.state);
    this._sentences.replaceChildren(...words.map((one, at) => h("p", {class: at === 0 ? "lead" : null}, one)));
  }

  _gone() {
    this.close();
    this.element.replaceChildren(message(`${this.server} was removed`, "The configuration does not have it any more. Esc leads to all servers."));
  }
}
