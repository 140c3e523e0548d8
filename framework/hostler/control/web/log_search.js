// Finds a text or a regular expression in lines, and steps through what was found.

export class LogSearch {
  constructor() {
    this._pattern = null;
    this.places = []; // numbers of lines
    this.at = -1;
  }

  // Returns what is wrong with a regular expression, "" for nothing.
  set(words, isPattern) {
    this._pattern = null;
    if (!words) return "";
    const source = isPattern ? words : words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    try {
      this._pattern = new RegExp(source, "giu");
      return "";
    } catch (error) {
      return error.message.replace(/^Invalid regular expression: /, "");
    }
  }

  get isOn() {
    return this._pattern !== null;
  }

  // Looks through all lines; stays at the place where it was, if that is still there.
  look(lines) {
    const place = this.places[this.at];
    this.places = [];
    this.at = -1;
    this.more(lines, 0);
    if (place !== undefined) this.at = this.places.indexOf(place);
  }

  more(lines, from) {
    if (!this._pattern) return;
    for (let number = from; number < lines.length; number++) {
      if (lines[number].kind === "line" && this.ranges(lines[number].plain).length) this.places.push(number);
    }
  }

  // The next place behind a line, or before it: from the first one on again after the last.
  step(direction, line) {
    if (!this.places.length) return null;
    if (this.at < 0) {
      const found = this.places.findIndex((place) => place >= line);
      this.at = direction > 0 ? Math.max(found, 0) : (found < 0 ? this.places.length : found) - 1;
    } else this.at += direction;
    this.at = (this.at + this.places.length) % this.places.length;
    return this.places[this.at];
  }

  ranges(text) {
    if (!this._pattern) return [];
    const found = [];
    for (const match of text.matchAll(this._pattern)) {
      if (match[0]) found.push([match.index, match.index + match[0].length]);
    }
    return found;
  }
}
