// The memory of the last hour as a small line.

import {attribute, s} from "./dom.js";

const WIDTH = 96, HEIGHT = 24;

export function spark() {
  const line = s("polyline", {class: "spark-line", fill: "none"});
  const element = s("svg", {class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true", preserveAspectRatio: "none"}, line);
  const update = (samples) => {
    const drawn = points(samples);
    attribute(line, "points", drawn);
    attribute(element, "hidden", drawn ? null : "");
  };
  return {element, update};
}

function points(samples) {
  if (samples.length < 2) return "";
  const times = samples.map((one) => Date.parse(one.time));
  const first = times[0], span = times[times.length - 1] - first || 1;
  const most = Math.max(...samples.map((one) => one.rss)), least = Math.min(...samples.map((one) => one.rss));
  // A line that hardly moves lies flat in the middle, instead of looking like mountains.
  const height = Math.max(most - least, most * 0.1, 1), floor = (most + least - height) / 2;
  return samples.map((one, at) => {
    const x = (times[at] - first) / span * WIDTH, y = HEIGHT - 2 - (one.rss - floor) / height * (HEIGHT - 4);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  }).join(" ");
}
