// Server-sent events by fetch, as EventSource sends no token.

import {Problem, lose, request} from "./session.js";

const SILENCE = 35000; // hostler sends a comment every 15 s

// Yields {kind, cursor, value}; ends with an error where the connection does.
export async function* frames(path, signal) {
  const control = new AbortController();
  const end = () => control.abort();
  signal.addEventListener("abort", end);
  if (signal.aborted) end();
  let timer = setTimeout(end, SILENCE);
  try {
    const response = await request(path, {headers: {Accept: "text/event-stream"}, signal: control.signal});
    if (!response.ok) throw new Problem(await response.json(), response.status);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const {value, done} = await reader.read();
      if (done) throw new Error("the stream has ended");
      clearTimeout(timer);
      timer = setTimeout(end, SILENCE);
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      const found = parts.map(frame).filter((one) => one !== null);
      if (found.length || parts.length) yield found;
    }
  } catch (error) {
    if (!signal.aborted && !(error instanceof Problem)) lose();
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
    control.abort();
  }
}

function frame(text) {
  let kind = "message", cursor = "", data = "";
  for (const line of text.split("\n")) {
    if (line.startsWith("event: ")) kind = line.slice(7);
    else if (line.startsWith("id: ")) cursor = line.slice(4);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  return data ? {kind, cursor, value: JSON.parse(data)} : null;
}
