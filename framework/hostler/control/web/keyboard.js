// Keys that work wherever nothing is typed.

import {command} from "./actions.js";
import {isOpen} from "./dialog.js";
import {help} from "./help.js";

const COMMANDS = {s: "start", x: "stop", r: "restart"};

// `page` gives the page that is shown; one of a single server has `server`, and may have `onKey`.
export function listenToKeys(store, page) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isOpen()) return;
    const types = event.target.closest("input, select, textarea") !== null;
    if (types && event.key !== "Escape") return;
    if (act(event.key, types)) event.preventDefault();
  });

  function act(key, types) {
    if (key === "Escape") return leave(types);
    if (page().onKey?.(key)) return true;
    if (key === "/") return focus("#search") || focus("#filter");
    if (key === "?") return Boolean(help());
    if (key === "j" || key === "k") return move(key === "j" ? 1 : -1);
    const row = store.rows.get(page().server ?? document.activeElement.closest("[data-server]")?.dataset.server);
    return Boolean(row && COMMANDS[key] && command(COMMANDS[key], row));
  }

  function leave(types) {
    if (types) document.activeElement.blur();
    else if (page().server !== undefined) location.hash = "#/";
    return true;
  }

  function focus(selector) {
    const element = document.querySelector(selector);
    element?.focus();
    element?.select();
    return element !== null;
  }

  function move(step) {
    const names = [...document.querySelectorAll(".servers .name")];
    const row = document.activeElement.closest("[data-server]");
    const at = names.findIndex((one) => row?.contains(one));
    const next = names[Math.min(Math.max(at < 0 ? 0 : at + step, 0), names.length - 1)];
    next?.focus();
    next?.closest("[data-server]").scrollIntoView({block: "nearest"});
    return names.length > 0;
  }
}
