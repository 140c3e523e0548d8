// Memory and CPU of the last hour, one above the other, with one cursor.

import {h, text} from "./dom.js";
import {clockTime, percent, size} from "./format.js";
import {get, serverPath} from "./session.js";
import {share} from "./store.js";
import {colour} from "./theme.js";

const HEIGHT = 130;
const KEY = "hostler";
const NONE = "not known yet";
const RIGHT = 18; // pixels beside what is drawn, as in server.css

class Plot {
  constructor(title, format, steps) {
    this._format = format;
    this._steps = steps;
    this._title = title;
    this._told = h("span", {class: "plot-value"});
    this._canvas = h("div", {class: "plot", role: "img"});
    this.element = h("figure", {}, h("figcaption", {}, title, " ", this._told), this._canvas);
  }

  draw(times, values, from, until, isNow) {
    const known = values.filter((one) => one !== null);
    const said = (at) => `${this._format(values[at])} at ${clockTime(times[at] * 1000)}`;
    const newest = values.findLastIndex((one) => one !== null);
    this._last = newest < 0 ? NONE : isNow && newest === values.length - 1 ? `${this._format(values[newest])} now` : said(newest);
    const range = known.length ? `, ${this._format(Math.min(...known))} to ${this._format(Math.max(...known))} since ${clockTime(from * 1000)}` : "";
    this._canvas.setAttribute("aria-label", `${this._title}: ${this._last}${range}`);
    const first = values.findIndex((one) => one !== null);
    this._rest = known.length > 1 ? `${this._last}, ${said(first)}` : this._last;
    this._range = [from, until];
    if (!this._plot) this._make([times, values]);
    else this._plot.setData([times, values]);
    if (this._plot.cursor.idx === null || this._plot.cursor.idx === undefined) text(this._told, this._rest);
  }

  _make(data) {
    const axis = {stroke: colour("--muted"), grid: {stroke: colour("--line"), width: 1}, ticks: {show: false}, font: "11px system-ui, sans-serif"};
    this._plot = new uPlot({
      width: this._canvas.clientWidth || 600,
      height: HEIGHT,
      padding: [8, RIGHT, 0, 0],
      legend: {show: false},
      cursor: {sync: {key: KEY}, drag: {x: false, y: false}, points: {size: 7}},
      scales: {x: {time: true, range: () => this._range}, y: {range: (_, least, most) => [0, Math.max(most > 0 ? most * 1.15 : 0, this._steps[0])]}},
      axes: [
        {...axis, values: (_, splits) => splits.map((one) => clockTime(one * 1000).slice(0, 5)), incrs: [60, 120, 300, 600, 900], space: 60, size: 26},
        {...axis, values: (_, splits) => splits.map((one) => this._last === NONE ? "" : this._format(one)), incrs: this._steps, size: 68, space: 22},
      ],
      series: [{}, {stroke: colour("--accent"), width: 1.75, fill: colour("--accent-soft"), spanGaps: false, points: {show: false, filter: (plot) => alone(plot.data[1]), size: 5}}],
      hooks: {setCursor: [(plot) => this._tell(plot)]},
    }, data, this._canvas);
  }

  _tell(plot) {
    const at = plot.cursor.idx;
    const value = at === null || at === undefined ? null : plot.data[1][at];
    text(this._told, value === null || value === undefined ? this._rest : `${this._format(value)} at ${clockTime(plot.data[0][at] * 1000)}`);
  }

  resize() {
    const width = this._canvas.clientWidth;
    if (this._plot && width) this._plot.setSize({width, height: HEIGHT});
  }

  // Draws anew with the colours of now.
  forget() {
    this._plot?.destroy();
    this._plot = null;
  }
}

// Where the values are that no line leads to: a run may have a single sample.
function alone(values) {
  const has = (at) => values[at] !== null && values[at] !== undefined;
  return [...values.keys()].filter((at) => has(at) && !has(at - 1) && !has(at + 1));
}

export class Plots {
  constructor(server) {
    this._server = server;
    this._samples = [];
    this._memory = new Plot("Memory", size, Array.from({length: 50}, (_, at) => 2 ** at));
    this._cpu = new Plot("CPU", percent, Array.from({length: 8}, (_, at) => [0.01, 0.02, 0.05].map((one) => one * 10 ** at)).flat());
    this.element = h("div", {class: "plots"}, this._memory.element, this._cpu.element);
    this._size = new ResizeObserver(() => { this._memory.resize(); this._cpu.resize(); });
    this._size.observe(this.element);
  }

  close() {
    this._size.disconnect();
    this.forget();
  }

  forget() {
    this._memory.forget();
    this._cpu.forget();
  }

  // The time of the first sample, as milliseconds; null without any.
  get first() {
    return this._samples.length ? Date.parse(this._samples[0].time) : null;
  }

  async load(signal) {
    const {points} = await get(serverPath(this._server, "/memory"), signal);
    this._samples = points.map((one) => ({time: one.time, rss: one.rss, cpu: one.cpu_seconds, generation: one.generation}));
  }

  // `run`: the one whose newest sample is of now; null where none is.
  draw(from, until, run) {
    const isNow = run !== null && this._samples.at(-1)?.generation === run;
    const times = [], memory = [], cpu = [];
    this._samples.forEach((one, at) => {
      const moment = Date.parse(one.time) / 1000, before = this._samples[at - 1];
      if (before && before.generation !== one.generation) {
        // No line leads from one run to the next.
        times.push(moment - 0.001);
        memory.push(null);
        cpu.push(null);
      }
      times.push(moment);
      memory.push(one.rss);
      cpu.push(before ? share(before, one) : null);
    });
    this._memory.draw(times, memory, from / 1000, until / 1000, isNow);
    this._cpu.draw(times, cpu, from / 1000, until / 1000, isNow);
  }
}
