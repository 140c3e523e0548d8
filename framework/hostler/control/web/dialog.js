// Questions and other things in front of the page; Esc closes, and the focus returns.

import {button, h} from "./dom.js";

// Shows nodes; resolves with true where `confirm` was chosen.
export function show(title, nodes, {confirm = "", dangerous = false} = {}) {
  return new Promise((resolve) => {
    const heading = h("h2", {id: "dialog-title"}, title);
    const close = (value) => { dialog.returnValue = value; dialog.close(); };
    const accept = confirm && button(confirm, () => close("yes"), {class: dangerous ? "danger" : "primary"});
    const leave = button(confirm ? "Cancel" : "Close", () => close(""));
    const dialog = h("dialog", {"aria-labelledby": "dialog-title"},
      heading, h("div", {class: "dialog-body", tabindex: "0"}, nodes), h("div", {class: "dialog-buttons"}, leave, accept));
    const before = document.activeElement;
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before?.isConnected) before.focus();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
    (accept || leave).focus();
  });
}

export function ask(title, words, confirm) {
  return show(title, [h("p", {}, words)], {confirm, dangerous: true});
}

export function isOpen() {
  return document.querySelector("dialog[open]") !== null;
}
