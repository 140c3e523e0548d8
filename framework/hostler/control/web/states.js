// The states of servers: words, shapes, what they forbid, and how they are sorted.

const WORDS = {waiting_ready: "not ready yet"};
const MEANINGS = {
  failed: "hostler does not start it again by itself", crashed: "it has just exited unexpectedly",
  backoff: "it exited unexpectedly, and is started again after a delay", unhealthy: "a health check says that it does not work",
  starting: "what comes before its process: a server that it needs, plugins", waiting_ready: "its process runs, but nobody can use it yet",
  stopping: "it was asked to end", running: "it can be used", completed: "a task that has done its work", stopped: "nothing of it runs",
};
const SHAPES = {
  running: "●", starting: "◔", waiting_ready: "◑", stopping: "◒", stopped: "○", crashed: "✖", backoff: "↻", failed: "■",
};
export const STATES = ["failed", "crashed", "backoff", "unhealthy", "starting", "waiting_ready", "stopping", "running", "completed", "stopped"];

// The state as people mean it: a server that runs and is unhealthy is not just running.
export function condition(row) {
  if (row.state === "running" && row.health === "unhealthy") return "unhealthy";
  if (row.state === "stopped" && row.completed) return "completed";
  return row.state;
}

export function word(state) {
  if (state === "unhealthy") return "running, unhealthy";
  return WORDS[state] || state;
}

export function meaning(state) {
  return MEANINGS[state] || "";
}

// The same in a sentence: "it is ...".
export function phrase(state) {
  return state === "backoff" ? "in backoff" : word(state);
}

export function shape(state) {
  if (state === "unhealthy") return "▲";
  if (state === "completed") return "✓";
  return SHAPES[state] || "?";
}

export function isSick(row) {
  return ["failed", "crashed", "backoff", "unhealthy"].includes(condition(row)) || isUnsteady(row);
}

// It runs just now, but it was restarted by itself, and has not lasted since.
export function isUnsteady(row) {
  return row.state === "running" && row.restarts.used > 0;
}

export function rank(row) {
  return STATES.indexOf(condition(row)) - (isUnsteady(row) ? 0.5 : 0);
}

// Why a command is not possible now; "" where it is.
export function forbids(command, row) {
  if (command === "start" && row.state === "backoff") return "it waits for its next start; restart starts it at once";
  const rests = ["stopped", "failed"].includes(row.state);
  if (command === "start" && row.wanted === "up" && !rests) return `it is ${word(row.state)}`;
  if (command === "start" && row.completed) return "it has done its work; restart runs it again";
  if (command === "stop" && rests) return `it is ${row.state}`;
  if (command === "stop" && row.state === "stopping") return "it is stopping";
  if (command === "restart" && row.state === "stopping") return "it is stopping";
  if (command === "restart" && row.state === "starting") return "it is starting";
  return "";
}
