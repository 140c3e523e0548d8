// One server in the list.

import {commandButtons} from "./actions.js";
import {attribute, button, h, text} from "./dom.js";
import * as facts from "./facts.js";
import {duration, percent, size} from "./format.js";
import {spark} from "./spark.js";
import {condition, isUnsteady, shape, word} from "./states.js";
import {copy} from "./toast.js";

export function link(name) {
  return `#/servers/${encodeURIComponent(name)}`;
}

// The state as word and shape.
export function badge() {
  const mark = h("span", {class: "mark", "aria-hidden": "true"}), words = h("span", {});
  const element = h("span", {class: "state"}, mark, words);
  const update = (row) => {
    const state = condition(row);
    attribute(element, "data-state", state);
    text(mark, shape(state));
    text(words, word(state));
  };
  return {element, update};
}

export class Row {
  constructor(row, store) {
    this._store = store;
    this._row = row;
    this._state = badge();
    this._why = h("p", {class: "why"});
    this._url = h("a", {class: "url", target: "_blank", rel: "noreferrer noopener"});
    this._copy = button("Copy", () => copy(this._row.url, "The URL"), {class: "quiet", "aria-label": `Copy the URL of ${row.name}`});
    this._spark = spark();
    this._buttons = commandButtons(() => this._row);
    const fact = (label, extra = "") => {
      const value = h("dd", {});
      return {value, element: h("div", {class: `fact ${extra}`}, h("dt", {}, label), value)};
    };
    this._facts = {
      uptime: fact("Uptime"), run: fact("Run", "narrow"), pid: fact("Pid", "narrow"), restarts: fact("Restarts"),
      memory: fact("Memory"), cpu: fact("CPU", "narrow"), crash: fact("Last crash", "wide"),
    };
    this._memory = h("span", {});
    this._facts.memory.value.append(this._memory, this._spark.element);
    this.element = h("li", {class: "server", "data-server": row.name, onclick: (event) => this._open(event)},
      h("div", {class: "server-head"},
        h("a", {class: "name", href: link(row.name)}, row.name), this._state.element, this._why,
        h("div", {class: "address"}, this._url, this._copy)),
      h("dl", {class: "facts"}, Object.values(this._facts).map((one) => one.element)),
      h("div", {class: "buttons"}, this._buttons.elements));
    this.update(row);
  }

  update(row) {
    this._row = row;
    attribute(this.element, "data-state", condition(row));
    attribute(this.element, "data-unsteady", isUnsteady(row) ? "" : null);
    this._state.update(row);
    const why = facts.why(row);
    text(this._why, why);
    this._why.hidden = !why;
    const isLink = /^https?:\/\//.test(row.url || "");
    text(this._url, row.url || "");
    attribute(this._url, "href", isLink ? row.url : null);
    this._url.parentElement.hidden = !row.url;
    this._buttons.update(row);
    text(this._memory, size(row.pid ? row.memory?.rss : null));
    this._spark.update(this._store.usage.get(row.name) || []);
    text(this._facts.run.value, row.generation ? String(row.generation) : "–");
    text(this._facts.pid.value, row.pid ? String(row.pid) : "–");
    text(this._facts.cpu.value, row.pid ? percent(this._store.cpu(row.name)) : "–");
    text(this._facts.crash.value, facts.lastCrash(row) || "none");
    this.tick();
  }

  // The whole card opens the server, where nobody presses a button or marks words.
  _open(event) {
    if (!event.target.closest("a, button") && !String(getSelection())) location.hash = link(this._row.name);
  }

  // What changes with the time alone.
  tick() {
    text(this._facts.uptime.value, duration(facts.uptime(this._row)));
    text(this._facts.restarts.value, facts.restarts(this._row));
  }
}
