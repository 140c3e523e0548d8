// Talks to hostler over its unix socket, with types that openapi-typescript makes of the committed document.
import { request, type IncomingMessage } from "node:http";
import type { components, paths } from "./api.js";

type Json<R> = R extends { content: { "application/json": infer T } } ? T : never;
type Answer<P extends keyof paths, M extends "get" | "post"> =
  paths[P] extends Record<M, { responses: infer R }> ? Json<R[200 & keyof R]> : never;
type Problem = components["schemas"]["Problem"];
type Command = components["schemas"]["Commands"];

const [socketPath, name] = process.argv.slice(2) as [string, string];

function send(method: string, path: string, headers = {}, body?: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request({ socketPath, method, path, headers }, resolve).on("error", reject).end(body);
  });
}

async function read<T>(response: IncomingMessage): Promise<T> {
  let text = "";
  for await (const piece of response.setEncoding("utf8")) text += piece;
  return JSON.parse(text) as T;
}

async function get<P extends keyof paths>(path: P): Promise<Answer<P, "get">> {
  return read(await send("GET", path));
}

async function post<P extends keyof paths>(path: P, body: Command): Promise<Answer<P, "post">> {
  return read(await send("POST", path, { "Content-Type": "application/json" }, JSON.stringify(body)));
}

async function* events(after: string): AsyncGenerator<{ id: string; event: string; data: string }> {
  const headers = { Accept: "text/event-stream" };
  let text = "";
  for await (const piece of (await send("GET", `/v1/events?after=${after}`, headers)).setEncoding("utf8")) {
    const frames = (text + piece).split("\n\n");
    text = frames.pop() ?? "";
    for (const frame of frames.filter((one) => one.includes("data: "))) {
      const fields = frame.split("\n").map((line) => line.split(/: (.*)/, 2));
      yield Object.fromEntries(fields) as { id: string; event: string; data: string };
    }
  }
}

async function eventsUntilRunning(after: string): Promise<string[]> {
  const states: string[] = [];
  for await (const { event, data } of events(after)) {
    if (event !== "state") continue;
    states.push((JSON.parse(data) as { state: string }).state);
    if (states.at(-1) === "running") break;
  }
  return states;
}

const before = await get("/v1/servers");
const row = before.servers.find((one) => one.name === name);
const command: Command = { names: [name], timeout: 20 };
const outcome = (await post("/v1/servers/restart", command)).servers[0];
const states = await eventsUntilRunning(before.cursor);
const refusal = await send("GET", "/v1/servers/none");
const problem = await read<Problem>(refusal);
console.log(
  JSON.stringify({
    before: row?.generation,
    after: outcome?.server.generation,
    changed: outcome?.changed,
    states,
    refused: [refusal.statusCode, problem.type],
    version: refusal.headers["hostler-version"],
  }),
);
process.exit(0);
