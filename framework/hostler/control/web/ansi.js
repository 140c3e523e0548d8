// Colours of terminals as classes; all else that a terminal would obey is left out or made visible.

const ESCAPE = /\x1b(?:\[([0-9;:?<=>]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])/g;
const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]/g;
const FLAGS = {1: "bold", 2: "dim", 3: "italic", 4: "underlined", 7: "inverse", 9: "struck"};
const OFF = {22: ["bold", "dim"], 23: ["italic"], 24: ["underlined"], 27: ["inverse"], 29: ["struck"]};
const LEVELS = [0, 95, 135, 175, 215, 255];
const BASE = [
  [0, 0, 0], [170, 0, 0], [0, 150, 0], [170, 120, 0], [0, 0, 200], [160, 0, 160], [0, 150, 150], [190, 190, 190],
  [110, 110, 110], [255, 80, 80], [80, 230, 80], [240, 220, 80], [90, 120, 255], [255, 100, 255], [80, 230, 230], [255, 255, 255],
];

export function plain(text) {
  return visible(text.replace(ESCAPE, ""));
}

function visible(text) {
  return text.replace(UNSEEN, (sign) => {
    const code = sign.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? "\u2421" : "\ufffd";
  });
}

// The parts of a text: [{text, classes}].
export function parts(text) {
  if (!text.includes("\x1b")) return [{text: visible(text), classes: ""}];
  const found = [], style = {flags: new Set(), front: "", back: ""};
  let from = 0;
  const add = (until) => {
    const part = visible(text.slice(from, until));
    if (part) found.push({text: part, classes: classes(style)});
  };
  for (const match of text.matchAll(ESCAPE)) {
    add(match.index);
    from = match.index + match[0].length;
    if (match[2] === "m") apply(style, match[1].split(/[;:]/).map(Number));
  }
  add(text.length);
  return found;
}

function apply(style, codes) {
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at];
    if (code === 0) { style.flags.clear(); style.front = style.back = ""; }
    else if (FLAGS[code]) style.flags.add(FLAGS[code]);
    else if (OFF[code]) OFF[code].forEach((flag) => style.flags.delete(flag));
    else if (code >= 30 && code <= 37) style.front = code - 30;
    else if (code >= 90 && code <= 97) style.front = code - 82;
    else if (code >= 40 && code <= 47) style.back = code - 40;
    else if (code >= 100 && code <= 107) style.back = code - 92;
    else if (code === 39) style.front = "";
    else if (code === 49) style.back = "";
    else if (code === 38 || code === 48) {
      const [colour, used] = extended(codes.slice(at + 1));
      style[code === 38 ? "front" : "back"] = colour;
      at += used;
    }
  }
}

// The nearest of the sixteen colours, as those have classes; and how many numbers told it.
function extended([kind, one, two, three]) {
  if (kind === 5) return [one < 16 ? one : nearest(indexed(one)), 2];
  if (kind === 2) return [nearest([one, two, three]), 4];
  return ["", 0];
}

function indexed(number) {
  if (number >= 232) return Array(3).fill(8 + (number - 232) * 10);
  const rest = number - 16;
  return [LEVELS[Math.floor(rest / 36)], LEVELS[Math.floor(rest / 6) % 6], LEVELS[rest % 6]];
}

function nearest(colour) {
  const distance = (other) => other.reduce((sum, value, at) => sum + (value - (colour[at] || 0)) ** 2, 0);
  const all = BASE.map(distance);
  return all.indexOf(Math.min(...all));
}

function classes({flags, front, back}) {
  const all = [...flags];
  if (front !== "") all.push(`front-${front}`);
  if (back !== "") all.push(`back-${back}`);
  return all.join(" ");
}
