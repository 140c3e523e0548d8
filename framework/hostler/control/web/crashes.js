// The records of unexpected exits, the newest first and open.

import {plain} from "./ansi.js";
import {h} from "./dom.js";
import {duration, plural, size, time} from "./format.js";

export function crashList(crashes) {
  if (!crashes.length) return h("p", {class: "muted"}, "It has not exited unexpectedly since hostler was started.");
  return h("div", {class: "crashes"}, [...crashes].reverse().map((one, at) => crash(one, at === 0)));
}

function crash(record, open) {
  const facts = [
    ["When", time(record.when)], ["How", record.how], ["What it means", record.reason], ["What to do", record.hint],
    ["What followed", [record.outcome, record.decision].filter(Boolean).join(": ")],
    ["Restarts", `${record.restarts_used} of ${record.restarts_allowed} used`],
    ["Next try", record.next_try && time(record.next_try)],
    ["Run", `${record.generation}${record.pid ? `, pid ${record.pid}` : ""}, after ${duration(record.uptime)}, ${record.ready ? "was ready" : "was never ready"}`],
    ["Exit code", record.code], ["Signal", record.signal], ["Error", record.error],
    ["Ended by hostler", record.killed ? "yes" : ""],
    ["Memory at last", record.memory.length ? memory(record.memory) : ""],
    ...record.plugins.map((note) => [note.plugin, note.text]),
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("details", {class: "crash", open},
    h("summary", {}, h("span", {class: "crash-key", "aria-hidden": "true"}, "✖"), ` Crash ${record.number}, ${time(record.when)}: ${record.how}`),
    h("dl", {class: "record"}, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value))))),
    output("stderr", record), output("stdout", record));
}

function memory(points) {
  const last = points[points.length - 1];
  return `${size(last.rss)} in ${plural(last.processes, "process", "processes")}`;
}

function output(stream, record) {
  const lines = record[stream], title = `Last lines of ${stream}`;
  return lines && h("figure", {class: "tail"}, h("figcaption", {}, title),
    h("pre", {tabindex: "0", role: "region", "aria-label": `${title} before crash ${record.number}`}, lines.split("\n").map(plain).join("\n")));
}
