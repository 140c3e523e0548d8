// A page without servers: what it is about, and what to do.

import {h} from "./dom.js";

export function message(title, lead, command = "") {
  return h("section", {class: "message"},
    h("h1", {}, title),
    h("p", {}, lead),
    command && h("p", {}, h("code", {class: "command"}, command)));
}

export function signedOut() {
  return message("This page is not connected any more",
    "The address of the dashboard works once, for a minute, and this hostler may have been started anew. " +
    "Open the dashboard again:", "hostler dashboard");
}

export function noServers() {
  return message("No servers yet",
    "The configuration has none, or none has been added to it. Describe one below [servers] in hostler.toml, then reload:",
    "hostler up");
}
