// Shows many lines: only those that are seen are in the page.

import {parts} from "./ansi.js";
import {h} from "./dom.js";
import {time} from "./format.js";

export const HEIGHT = 19; // pixels of a line, as in log.css
const MORE = 20; // lines above and below what is seen
const LONGEST = 4000; // characters that are drawn of a line

export class LogLines {
  // `onScroll` is called before lines are drawn that came since: whoever follows is at the end of those that were.
  constructor(search, onScroll) {
    this.lines = [];
    this._search = search;
    this._shown = h("div", {class: "log-shown"});
    this._space = h("div", {class: "log-space"}, this._shown);
    this.element = h("div", {class: "log-view", tabindex: "0", role: "region", "aria-label": "Lines of the log", onscroll: () => { onScroll(); this.draw(); }}, this._space);
    this._size = new ResizeObserver(() => this.draw());
    this._size.observe(this.element);
  }

  close() {
    this._size.disconnect();
  }

  get isAtEnd() {
    const {scrollTop, scrollHeight, clientHeight} = this.element;
    return scrollTop + clientHeight >= scrollHeight - HEIGHT;
  }

  get first() {
    return Math.floor(this.element.scrollTop / HEIGHT);
  }

  toEnd() {
    this._fit();
    this.element.scrollTop = this.element.scrollHeight;
    this.draw();
  }

  toLine(number) {
    this.element.scrollTop = number * HEIGHT - this.element.clientHeight / 2;
    this.draw();
  }

  // Keeps in place what is seen, when so many lines above it come or go.
  shift(count) {
    this._fit();
    this.element.scrollTop += count * HEIGHT;
  }

  // As high as its lines, within the limits of log.css; with room for a bar to scroll sideways.
  _fit() {
    const height = this.lines.length * HEIGHT;
    this._space.style.height = `${height}px`;
    this.element.style.height = `${height + HEIGHT}px`;
  }

  draw() {
    this._fit();
    const {scrollTop, clientHeight} = this.element;
    const from = Math.max(Math.floor(scrollTop / HEIGHT) - MORE, 0);
    const until = Math.min(Math.ceil((scrollTop + clientHeight) / HEIGHT) + MORE, this.lines.length);
    this._shown.style.transform = `translateY(${from * HEIGHT}px)`;
    const current = this._search.places[this._search.at];
    const elements = [];
    for (let number = from; number < until; number++) elements.push(this._line(this.lines[number], number === current));
    this._shown.replaceChildren(...elements);
  }

  _line(item, isCurrent) {
    if (item.kind === "run") {
      return h("div", {class: "log-mark"}, `run ${item.run} began${item.pid ? ` (pid ${item.pid})` : ""}${item.time ? `, ${time(item.time)}` : ""}`);
    }
    if (item.kind === "gap") return h("div", {class: "log-mark log-gap"}, "some lines are not kept any more, and missing here");
    return h("div", {class: `log-line${item.stream === "stderr" ? " stderr" : ""}${isCurrent ? " current" : ""}`},
      h("span", {class: "log-time"}, item.time ? time(item.time) : ""),
      h("span", {class: "log-stream"}, item.stream === "stderr" ? "err" : "out"),
      h("span", {class: "log-text"}, this._text(item)));
  }

  _text(item) {
    const ranges = this._search.ranges(item.plain.slice(0, LONGEST));
    const nodes = [];
    let at = 0;
    for (const part of parts(item.text.slice(0, LONGEST))) {
      nodes.push(...marked(part, at, ranges));
      at += part.text.length;
    }
    if (item.text.length > LONGEST) nodes.push(h("span", {class: "muted"}, ` … ${item.text.length - LONGEST} more characters`));
    return nodes;
  }
}

// One part of a line, cut where something that was found begins and ends.
function marked(part, at, ranges) {
  const nodes = [];
  const add = (from, until, name) => {
    if (from < until) nodes.push(h(name, {class: part.classes || null}, part.text.slice(from, until)));
  };
  let from = 0;
  for (const [begin, end] of ranges) {
    const first = Math.max(begin - at, 0), last = Math.min(end - at, part.text.length);
    if (first >= last) continue;
    add(from, first, "span");
    add(first, last, "mark");
    from = last;
  }
  add(from, part.text.length, "span");
  return nodes;
}
