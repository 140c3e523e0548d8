// The token of this page: exchanged for the code in its address, kept for this tab.

const KEY = "hostler-token";

export class Problem extends Error {
  constructor(value, status) {
    super(value.detail || "hostler does not answer as expected");
    this.kind = String(value.type || "").split("/").pop();
    this.hint = value.hint || "";
    this.server = value.server || "";
    this.mistakes = value.mistakes || [];
    this.status = status;
  }
}

// Takes the code out of the address, so that no copy of that has it, and exchanges it.
export async function signIn() {
  const code = location.hash.slice(1);
  if (/^[\w-]{43}$/.test(code)) {
    history.replaceState(null, "", location.pathname);
    const answer = await fetch("/v1/dashboard/token", {
      method: "POST",
      headers: {"Content-Type": "application/json"},
      body: JSON.stringify({code}),
      cache: "no-store",
    });
    const value = await answer.json();
    if (!answer.ok) throw new Problem(value, answer.status);
    sessionStorage.setItem(KEY, value.token);
  }
  return sessionStorage.getItem(KEY) !== null;
}

export function signOut() {
  sessionStorage.removeItem(KEY);
}

export function request(path, options = {}) {
  const headers = {Authorization: `Bearer ${sessionStorage.getItem(KEY)}`, ...options.headers};
  return fetch(path, {...options, headers, cache: "no-store", credentials: "omit", redirect: "error"});
}

async function answered(response) {
  const body = await response.text();
  const value = body ? JSON.parse(body) : {};
  if (!response.ok) throw new Problem(value, response.status);
  return value;
}

export async function get(path, signal) {
  return answered(await request(path, {signal}));
}

export async function post(path, body = {}) {
  const headers = {"Content-Type": "application/json"};
  return answered(await request(path, {method: "POST", headers, body: JSON.stringify(body)}));
}

export function serverPath(name, rest = "") {
  return `/v1/servers/${encodeURIComponent(name)}${rest}`;
}
