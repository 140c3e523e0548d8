// All servers: filtered, sorted, each updated in its place.

import {stopAll} from "./actions.js";
import {button, h, text} from "./dom.js";
import {plural} from "./format.js";
import {noServers} from "./message.js";
import {reload} from "./reload.js";
import {Row} from "./row.js";
import {get, serverPath} from "./session.js";
import {condition, rank} from "./states.js";

const FILTER = "hostler-filter", SORT = "hostler-sort";
const ORDERS = {
  state: ["State, worst first", (one, other) => rank(one) - rank(other)],
  name: ["Name", (one, other) => one.name.localeCompare(other.name)],
  memory: ["Memory", (one, other) => (other.memory?.rss || 0) - (one.memory?.rss || 0)],
  file: ["As in the configuration", () => 0],
};

export class List {
  title = "Servers";

  constructor(store) {
    this._store = store;
    this._rows = new Map();
    this._end = new AbortController();
    this._filter = h("input", {
      type: "search", id: "filter", placeholder: "Filter by name or state", autocomplete: "off", spellcheck: "false",
      "aria-label": "Filter by name or state", value: sessionStorage.getItem(FILTER) || "",
      oninput: () => { sessionStorage.setItem(FILTER, this._filter.value); this._arrange(); },
    });
    const chosen = sessionStorage.getItem(SORT) || "state";
    this._sort = h("select", {"aria-label": "Sort by", onchange: () => { sessionStorage.setItem(SORT, this._sort.value); this._arrange(); }},
      Object.entries(ORDERS).map(([value, [label]]) => h("option", {value, selected: value === chosen}, label)));
    this._shown = h("p", {class: "muted shown", role: "status"});
    this._list = h("ul", {class: "servers", role: "list"});
    this._empty = noServers();
    this._noMatch = h("p", {class: "muted", hidden: true}, "No server fits the filter. ", button("Clear the filter", () => this._clear()));
    this._tools = h("div", {class: "tools"}, this._filter, this._sort, this._shown, h("span", {class: "space"}),
      button("Reload…", reload), button("Stop all…", () => stopAll(this._running().length)));
    this.element = h("div", {class: "list"}, h("h1", {class: "unseen"}, "Servers"), this._tools, this._list, this._noMatch, this._empty);
    const listen = {signal: this._end.signal};
    store.addEventListener("rows", () => this._arrange(), listen);
    store.addEventListener("row", ({detail}) => this._update(detail.row), listen);
    this._ticker = setInterval(() => { if (store.connection === "live") for (const row of this._rows.values()) row.tick(); }, 1000);
    this._arrange();
    this._loadHistory();
  }

  close() {
    this._end.abort();
    clearInterval(this._ticker);
  }

  _clear() {
    this._filter.value = "";
    sessionStorage.removeItem(FILTER);
    this._arrange();
    this._filter.focus();
  }

  _running() {
    return [...this._store.rows.values()].filter((row) => !["stopped", "failed"].includes(row.state));
  }

  _update(row) {
    const known = this._rows.get(row.name);
    if (!known) return;
    known.update(row);
    this._arrangeSoon();
  }

  // Servers that change many times a second do not jump about.
  _arrangeSoon() {
    this._soon ??= setTimeout(() => { this._soon = null; if (!this._end.signal.aborted) this._arrange(); }, 400);
  }

  _arrange() {
    const words = this._filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const all = [...this._store.rows.values()];
    const fits = (row) => words.every((one) => row.name.toLowerCase().includes(one) || condition(row).includes(one));
    const shown = all.filter(fits).sort((ORDERS[this._sort.value] || ORDERS.state)[1]);
    for (const name of this._rows.keys()) if (!this._store.rows.has(name)) this._rows.delete(name);
    const elements = shown.map((row) => {
      if (!this._rows.has(row.name)) this._rows.set(row.name, new Row(row, this._store));
      return this._rows.get(row.name).element;
    });
    this._place(elements);
    text(this._shown, words.length ? `${shown.length} of ${plural(all.length, "server")}` : plural(all.length, "server"));
    this._noMatch.hidden = shown.length > 0 || all.length === 0;
    this._empty.hidden = all.length > 0 || this._store.daemon === null;
    this._tools.hidden = all.length === 0;
  }

  // Moves only what is not in its place, and nothing while somebody is about to press a button of the list.
  _place(elements) {
    const now = [...this._list.children];
    if (now.length === elements.length && now.every((one, at) => one === elements[at])) return;
    const focused = document.activeElement;
    this._list.replaceChildren(...elements);
    if (focused && focused !== document.activeElement && focused.isConnected) focused.focus();
  }

  // The spark lines of the last hour, a few at a time.
  async _loadHistory() {
    const names = [...this._store.rows.keys()];
    const load = async () => {
      for (let name = names.shift(); name !== undefined && !this._end.signal.aborted; name = names.shift()) {
        try {
          const {points} = await get(serverPath(name, "/memory"), this._end.signal);
          this._store.setHistory(name, thinned(points));
        } catch (error) {
          // It has no line then; whether hostler answers is told by the header.
        }
      }
    };
    await Promise.all([load(), load(), load()]);
  }
}

// At most so many points as the line has room for; always the last ones, as the CPU is told from them.
function thinned(points) {
  const step = Math.max(1, Math.ceil(points.length / 50));
  return points.filter((_, at) => at % step === 0 || at >= points.length - 2)
    .map((one) => ({time: one.time, rss: one.rss, cpu: one.cpu_seconds, generation: one.generation}));
}
