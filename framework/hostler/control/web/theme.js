// Light or dark: as the system has it, or as chosen here.

import {h} from "./dom.js";

const KEY = "hostler-theme";
const CHOICES = [["", "System"], ["light", "Light"], ["dark", "Dark"]];

export function applyTheme() {
  choose(localStorage.getItem(KEY) || "");
}

function choose(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  if (theme) localStorage.setItem(KEY, theme);
  else localStorage.removeItem(KEY);
  document.dispatchEvent(new CustomEvent("theme"));
}

export function themeSwitch() {
  const chosen = localStorage.getItem(KEY) || "";
  const options = CHOICES.map(([value, label]) => h("option", {value, selected: value === chosen}, label));
  return h("label", {class: "theme"}, h("span", {class: "unseen"}, "Colours"),
    h("select", {onchange: (event) => choose(event.target.value)}, options));
}

// A colour of the style sheets as it is now, for what is drawn on a canvas.
export function colour(name) {
  const probe = document.body.appendChild(h("span", {hidden: true}));
  probe.style.color = `var(${name})`;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
