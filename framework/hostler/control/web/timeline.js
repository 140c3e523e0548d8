// The states of a server over the time that the plots show, with its crashes as marks.

import {h, s, text} from "./dom.js";
import {clockTime, plural, time} from "./format.js";
import {get, serverPath} from "./session.js";
import {shape, word} from "./states.js";

const WIDTH = 1000, HEIGHT = 28, TICKS = 4;
const SHOWN = ["running", "waiting_ready", "starting", "backoff", "stopping", "stopped", "failed"];

export class Timeline {
  constructor(server) {
    this._server = server;
    this._changes = []; // {time, state, previous}, oldest first
    this._crashes = [];
    this._picture = s("svg", {class: "timeline", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img"});
    this._marks = h("div", {class: "timeline-marks", "aria-hidden": "true"});
    this._ticks = h("div", {class: "timeline-ticks", "aria-hidden": "true"});
    this._legend = h("ul", {class: "counts legend", role: "list", "aria-label": "States in this time"});
    this.element = h("div", {class: "timeline-frame"}, h("div", {class: "timeline-picture"}, this._picture, this._marks), this._ticks, this._legend);
  }

  // The states that hostler still remembers.
  async load(signal) {
    const query = `server=${encodeURIComponent(this._server)}&kind=state&limit=1000`;
    const found = [];
    for (let after = "";;) {
      const page = await get(`/v1/events?${query}${after && `&after=${encodeURIComponent(after)}`}`, signal);
      found.push(...page.events.map((event) => ({time: Date.parse(event.time), state: event.state, previous: event.previous})));
      if (page.events.length < 1000) break;
      after = page.next;
    }
    const newest = found.length ? found[found.length - 1].time : 0;
    this._changes = [...found, ...this._changes.filter((one) => one.time > newest)];
    await this.loadCrashes(signal);
  }

  async loadCrashes(signal) {
    const {crashes} = await get(serverPath(this._server, "/crashes"), signal);
    this._crashes = crashes.map((one) => ({time: Date.parse(one.when), how: one.how, number: one.number}));
    return crashes;
  }

  note(event) {
    this._changes.push({time: Date.parse(event.time), state: event.state, previous: event.previous});
  }

  // `since`: when hostler began; what was before that it does not know.
  draw(from, until, state, since) {
    const place = (moment) => (moment - from) / (until - from) * WIDTH;
    const parts = this._parts(Math.max(from, since), until, state);
    this._picture.replaceChildren(...parts.map((part) => s("rect", {
      x: place(part.from).toFixed(2), width: Math.max(place(part.until) - place(part.from), 1.5).toFixed(2), y: 0, height: HEIGHT, class: `part-${part.state}`,
    }, s("title", {}, `${word(part.state)} from ${clockTime(part.from)} to ${clockTime(part.until)}`))));
    const crashes = this._crashes.filter((one) => one.time >= from);
    this._marks.replaceChildren(...crashes.map((one) => {
      const mark = h("span", {class: "crash-mark", title: `crash ${one.number}, ${time(one.time)}: ${one.how}`}, shape("crashed"));
      mark.style.left = `${place(one.time) / WIDTH * 100}%`;
      return mark;
    }));
    this._ticks.replaceChildren(...Array.from({length: TICKS + 1}, (_, at) => h("span", {}, clockTime(from + (until - from) * at / TICKS))));
    this._tell(parts, crashes, Math.max(from, since));
  }

  _parts(from, until, state) {
    const parts = [];
    const add = (one) => { if (one.until > from && one.until > one.from) parts.push({...one, from: Math.max(one.from, from)}); };
    const first = this._changes[0];
    if (!first) return [{state, from, until}];
    add({state: first.previous, from, until: first.time});
    this._changes.forEach((one, at) => add({state: one.state, from: one.time, until: this._changes[at + 1]?.time ?? until}));
    return parts;
  }

  _tell(parts, crashes, from) {
    const seconds = new Map();
    for (const part of parts) seconds.set(part.state, (seconds.get(part.state) || 0) + part.until - part.from);
    const all = [...seconds.values()].reduce((sum, one) => sum + one, 0) || 1;
    const shown = SHOWN.filter((state) => seconds.get(state) > 0);
    const words = shown.map((state) => `${word(state)} ${Math.max(Math.round(seconds.get(state) / all * 100), 1)} %`);
    this._picture.setAttribute("aria-label", `Since ${clockTime(from)}: ${words.join(", ")}; ${plural(crashes.length, "crash", "crashes")}`);
    const legend = [...words, `${plural(crashes.length, "crash", "crashes")}`].join();
    if (legend === this._told) return;
    this._told = legend;
    this._legend.replaceChildren(
      ...shown.map((state, at) => h("li", {}, h("span", {class: `key part-${state}`, "aria-hidden": "true"}), words[at])),
      crashes.length ? h("li", {}, h("span", {class: "crash-key", "aria-hidden": "true"}, shape("crashed")), plural(crashes.length, "crash", "crashes")) : "");
  }
}
