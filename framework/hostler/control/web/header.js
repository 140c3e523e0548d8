// What is told on every page: which hostler, how many servers in which state, and whether this is news.

import {attribute, button, h, text} from "./dom.js";
import {help} from "./help.js";
import {clockTime, plural} from "./format.js";
import {STATES, condition, isSick, shape, word} from "./states.js";
import {themeSwitch} from "./theme.js";

export class Header {
  constructor(element, store) {
    this._store = store;
    this._name = h("span", {class: "configuration"});
    this._version = h("span", {class: "muted version"});
    this._counts = h("ul", {class: "counts", role: "list", "aria-label": "Servers by state"});
    this._live = h("p", {class: "connection", role: "status"});
    this._gap = h("p", {class: "gap", role: "status", hidden: true});
    this._advice = h("p", {class: "gap", hidden: true}, "What you see is old. If hostler has ended, ", h("code", {}, "hostler up"),
      " starts it, and ", h("code", {}, "hostler dashboard"), " opens a new page.");
    element.append(
      h("div", {class: "header-line"},
        h("a", {class: "brand", href: "#/", "aria-label": "hostler: all servers"}, h("img", {src: "/web/icon.svg", alt: "", width: "22", height: "22"}), h("span", {}, "hostler")),
        this._name, this._version, h("span", {class: "space"}), this._live, themeSwitch(),
        button("?", help, {class: "quiet help", "aria-label": "Keyboard and words"})),
      this._counts, this._advice, this._gap);
    for (const name of ["row", "rows", "connection"]) store.addEventListener(name, () => this._soon());
    store.addEventListener("gap", ({detail}) => this._showGap(detail));
    setInterval(() => this._update(), 1000);
    this._update();
  }

  _soon() {
    this._waits ??= requestAnimationFrame(() => { this._waits = null; this._update(); });
  }

  _update() {
    const {daemon, rows, connection, lastNews} = this._store;
    if (daemon) {
      const parts = daemon.configuration.split("/");
      text(this._name, parts.slice(-2).join("/"));
      this._name.title = daemon.configuration;
      text(this._version, `hostler ${daemon.version}, pid ${daemon.pid}`);
    }
    const last = lastNews ? `, last news ${clockTime(lastNews)}` : "";
    const words = {live: "Live", connecting: "Connecting", refused: "Not connected"}[connection] || `Connection lost${last}, trying`;
    attribute(this._live, "data-connection", connection);
    text(this._live, words);
    this._advice.hidden = connection !== "lost";
    this._count([...rows.values()]);
    const sick = [...rows.values()].filter((row) => isSick(row)).length;
    document.title = `${sick ? `(${sick}) ` : ""}${this.page || "hostler"}`;
  }

  _count(rows) {
    const counts = new Map(STATES.map((state) => [state, 0]));
    for (const row of rows) counts.set(condition(row), counts.get(condition(row)) + 1);
    const shown = [...counts].filter(([, count]) => count > 0);
    const words = shown.map(([state, count]) => `${state}${count}`).join();
    if (words === this._words) return;
    this._words = words;
    this._counts.replaceChildren(...shown.map(([state, count]) => h("li", {class: "state", "data-state": state},
      h("span", {class: "mark", "aria-hidden": "true"}, shape(state)), `${count} ${word(state)}`)));
  }

  _showGap({missed, time}) {
    const many = missed === null ? "some events" : plural(missed, "event");
    this._gap.replaceChildren(`At ${clockTime(time)} ${many} could not be shown: this page was too slow, or away. What you see now is right.`,
      button("Close", () => { this._gap.hidden = true; }, {class: "quiet"}));
    this._gap.hidden = false;
  }
}
