// Why a server is in the state it is in, and what to do, in sentences.

import {plain} from "./ansi.js";
import {duration, plural, time} from "./format.js";
import {condition, word} from "./states.js";

const LONGEST = 300; // characters of a line

const SENTENCES = {
  running: (row) => `${row.name} has been running since ${time(row.since)}${row.url ? `, at ${row.url}` : ""}.`,
  unhealthy: (row) => `${row.name} is running, but a health check says that it does not work.`,
  waiting_ready: (row) => `${row.name} was started at ${time(row.since)}, and is not ready yet.`,
  starting: (row) => `${row.name} has been starting since ${time(row.since)}: a step before its start, such as a server that it needs, is not finished.`,
  backoff: (row) => `${row.name} exited unexpectedly, and waits for its next start${row.restarts.next_try ? ` at ${time(row.restarts.next_try)}` : ""}.`,
  crashed: (row) => `${row.name} has just exited unexpectedly, and is being cleaned up.`,
  stopping: (row) => `${row.name} has been stopping since ${time(row.since)}.`,
  stopped: (row) => row.since ? `${row.name} has been stopped since ${time(row.since)}.` : `${row.name} is stopped, and was not started yet.`,
  completed: (row) => `${row.name} has done its work${row.since ? ` at ${time(row.since)}` : ""}.`,
  failed: (row) => `${row.name} has failed: hostler does not start it again by itself.`,
};

export function explain(row, crashes) {
  const state = condition(row);
  const sentences = [(SENTENCES[state] || (() => `${row.name} is ${word(state)}.`))(row)];
  const isSick = ["failed", "backoff", "crashed", "unhealthy"].includes(state);
  if (row.reason && !isSick && state !== "running" && !row.completed) sentences.push(`The reason: ${row.reason}.`);
  if (row.stuck) sentences.push(`It is stuck: ${row.stuck}.`);
  for (const one of row.health_words) {
    if (one.healthy === false) sentences.push(`${one.plugin} says since ${time(one.since)}: ${one.reason || "not healthy"}.`);
    if (one.healthy === null) sentences.push(`${one.plugin} cannot tell whether it is healthy: ${one.reason || "it failed"}.`);
  }
  const last = crashes[crashes.length - 1];
  if (last && state !== "stopped") {
    sentences.push(`Its last unexpected exit was at ${time(last.when)}, after ${duration(last.uptime)}: ${last.how}. ${last.decision ? `${sentence(last.decision)}` : ""}`);
    const words = lastLine(last.stderr) || lastLine(last.stdout);
    if (words) sentences.push(`The last line before that: ${words}`);
    if (isSick && last.hint) sentences.push(`What to do: ${last.hint}`);
  }
  const {used, allowed} = row.restarts;
  if (used) sentences.push(`${used} of ${plural(allowed, "automatic restart")} ${used === 1 ? "is" : "are"} used${state === "failed" ? "" : "; the count begins anew once it is stable"}.`);
  if (row.hooks_out.length) sentences.push(`Not called any more, as they failed too often: ${row.hooks_out.join(", ")}.`);
  if (row.needs.length) sentences.push(`It needs ${row.needs.join(", ")}.`);
  return sentences.map((one) => one.trim());
}

export function advice(row) {
  const state = condition(row);
  if (state === "failed") return "Mend the cause, then press Start.";
  if (state === "unhealthy") return "Look at the last lines below; Restart begins anew.";
  if (state === "stopped") return "Start begins a run.";
  return "";
}

function lastLine(output) {
  const lines = (output || "").split("\n").map((one) => plain(one).trim()).filter(Boolean);
  return (lines[lines.length - 1] || "").slice(0, LONGEST);
}

function sentence(words) {
  const text = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
