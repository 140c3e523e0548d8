// Short messages: what was done, and what hostler refused.

import {button, h} from "./dom.js";
import {Problem} from "./session.js";

const SECONDS = 6;

export function toast(words, {hint = "", failed = false} = {}) {
  const area = document.querySelector(".toasts") || document.body.appendChild(h("div", {class: "toasts", role: "region", "aria-label": "Messages"}));
  const one = h("div", {class: failed ? "toast failed" : "toast", role: failed ? "alert" : "status"},
    h("p", {}, words, hint && h("span", {class: "hint"}, hint)),
    button("Close", () => one.remove(), {class: "quiet"}));
  area.append(one);
  if (!failed) setTimeout(() => one.remove(), SECONDS * 1000);
}

export function refusal(error) {
  if (!(error instanceof Problem)) return toast("hostler does not answer.", {hint: "Try again once this page is live.", failed: true});
  const where = error.server ? `${error.server}: ` : "";
  const mistakes = (error.mistakes || []).filter((one) => !error.message.includes(one));
  toast(`${where}${[error.message, ...mistakes].join("\n")}`, {hint: error.hint, failed: true});
}

export async function copy(words, what) {
  try {
    await navigator.clipboard.writeText(words);
    toast(`${what} copied`);
  } catch (error) {
    toast(`The browser does not let this page copy: ${words}`, {failed: true});
  }
}
