// What is read only when somebody wants to see it: configuration, plugins, processes.

import {h} from "./dom.js";
import {percent, plural, size} from "./format.js";
import {get, serverPath} from "./session.js";

// A part of the page that is read whenever it is opened.
function onDemand(title, read) {
  const body = h("div", {class: "demand"}, h("p", {class: "muted"}, "Loading…"));
  return h("details", {class: "panel", ontoggle: async (event) => {
    if (!event.target.open) return;
    try {
      body.replaceChildren(...[await read()].flat().filter(Boolean));
    } catch (error) {
      body.replaceChildren(h("p", {class: "failed-words"}, error.message), ...(error.mistakes || []).map((one) => h("p", {}, one)));
    }
  }}, h("summary", {}, h("h2", {}, title)), body);
}

export function configuration(name) {
  return onDemand("Configuration", async () => {
    const {values, pending, toml} = await get(serverPath(name, "/configuration"));
    return [
      pending.length > 0 && h("p", {class: "notice"}, "The file on disk is another one than what is in use: a reload would change this server."),
      valueTable("Set values", values.filter((one) => !isDefault(one)), name),
      h("details", {}, h("summary", {}, plural(values.filter(isDefault).length, "default")), valueTable("Defaults", values.filter(isDefault), name)),
      h("details", {}, h("summary", {}, "As TOML"), h("pre", {tabindex: "0", role: "region", "aria-label": "Configuration as TOML"}, toml)),
    ];
  });
}

function isDefault(value) {
  return value.origin.startsWith("default");
}

function valueTable(title, values, name) {
  const own = `servers.${name}.`;
  const key = (one) => one.key.startsWith(own) ? one.key.slice(own.length) : one.key;
  return table(title, ["Key", "Value", "Where it comes from"], values.map((one) => [code(key(one)), code(one.value), one.origin]));
}

export function plugins(name) {
  return onDemand("Plugins", async () => {
    const {hooks} = await get("/v1/plugins");
    const own = hooks.filter((one) => one.server === name);
    if (!own.length) return h("p", {class: "muted"}, "No hook of a plugin was called for it yet.");
    return table("Plugins", ["Plugin", "Hook", "Calls", "Time", "Mean", "Failures"], own.map((one) => [
      one.plugin, code(one.hook), one.calls, milliseconds(one.seconds), milliseconds(one.seconds / Math.max(one.calls, 1)),
      one.disabled ? `${one.failures}, not called any more` : one.failures]));
  });
}

export function processes(name) {
  return onDemand("Processes", async () => {
    const {processes: found} = await get(serverPath(name, "/processes"));
    if (!found.length) return h("p", {class: "muted"}, "It has no process now.");
    const all = found.reduce((sum, one) => sum + one.rss, 0);
    return table(plural(found.length, "process", "processes"), ["Pid", "Parent", "Program", "Memory", "Share", "CPU time", "Threads"], found.map((one) => [
      one.pid, one.parent, code(one.name), size(one.rss), percent(one.rss / (all || 1)), `${one.cpu_seconds.toFixed(1)} s`, one.threads]));
  });
}

function milliseconds(seconds) {
  return `${(seconds * 1000).toFixed(seconds < 0.01 ? 2 : 0)} ms`;
}

function code(words) {
  return h("code", {}, words);
}

function table(title, heads, rows) {
  return h("div", {class: "table", tabindex: "0", role: "region", "aria-label": title}, h("table", {},
    h("thead", {}, h("tr", {}, heads.map((one) => h("th", {scope: "col"}, one)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell instanceof Node ? cell : String(cell))))))));
}
