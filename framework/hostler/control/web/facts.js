// What is told of a server in a few words, in the list and on its own page.

import {duration, plural, time} from "./format.js";
import {condition, isUnsteady} from "./states.js";

// The uptime now: the row has that of the moment when it was read.
export function uptime(row) {
  return row.uptime === null || !row.pid ? null : row.uptime + (Date.now() - row.readAt) / 1000;
}

export function restarts(row) {
  const {used, allowed, next_try: next} = row.restarts;
  const left = next ? (Date.parse(next) - Date.now()) / 1000 : 0;
  const words = `${used} of ${allowed}`;
  return next && row.state === "backoff" ? `${words}, next try in ${Math.max(Math.ceil(left), 0)} s` : words;
}

// Why it is as it is: what its health plugins say, or the reason of its state.
export function why(row) {
  const words = row.health_words.filter((one) => one.healthy !== true || row.health === "unhealthy");
  if (condition(row) === "running" || condition(row) === "unhealthy") {
    const told = words.map((one) => one.reason ? `${one.plugin}: ${one.reason}` : one.plugin);
    if (isUnsteady(row)) told.unshift(`restarted ${plural(row.restarts.used, "time")} after crashes, and not stable yet`);
    return told.join("; ");
  }
  return row.stuck || row.reason;
}

export function lastCrash(row) {
  const last = row.last_crash;
  return last ? `${time(last.when)}: ${last.how}` : "";
}

export function since(row) {
  return row.since ? duration((Date.now() - Date.parse(row.since)) / 1000) : "–";
}

export function crashes(row) {
  return plural(row.crashes, "crash", "crashes");
}
