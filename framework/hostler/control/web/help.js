// What the keys and the shapes mean.

import {show} from "./dialog.js";
import {h} from "./dom.js";
import {STATES, meaning, shape, word} from "./states.js";

const KEYS = [
  ["j, k", "the next and the previous server"], ["Enter", "opens the server"], ["Esc", "back to all servers"],
  ["/", "filter; on the page of a server, search in its log"], ["s", "start"], ["x", "stop"], ["r", "restart"],
  ["f", "follow the log"], ["n, N", "next and previous place that was found"], ["?", "this help"],
];

export function help() {
  const keys = KEYS.map(([key, what]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)));
  const states = STATES.map((state) => h("div", {},
    h("dt", {class: "state", "data-state": state}, h("span", {class: "mark", "aria-hidden": "true"}, shape(state)), word(state)),
    h("dd", {}, meaning(state))));
  return show("Keyboard and words", [h("dl", {class: "keys"}, keys), h("h3", {}, "States"), h("dl", {class: "keys meanings"}, states)]);
}
