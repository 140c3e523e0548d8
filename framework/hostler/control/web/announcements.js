// Tells changes of state to those who hear the page, together and not too often.

import {text} from "./dom.js";
import {plural} from "./format.js";
import {phrase} from "./states.js";

const GATHER = 1500;
const MOST = 3;

export function announceStates(store) {
  const changed = new Map();
  let timer = null;
  store.addEventListener("row", ({detail}) => {
    if (!detail.previous) return;
    changed.set(detail.row.name, detail.row.state);
    timer ??= setTimeout(() => {
      timer = null;
      const all = [...changed];
      changed.clear();
      const told = all.slice(0, MOST).map(([name, state]) => `${name} is ${phrase(state)}`);
      if (all.length > MOST) told.push(`${plural(all.length - MOST, "other server")} changed`);
      announce(told.join(", "));
    }, GATHER);
  });
}

export function announce(words) {
  text(document.getElementById("announcements"), words);
}
