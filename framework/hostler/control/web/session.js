// The token of this page: exchanged for the code in its address, kept for this tab.

const KEY = "hostler-token";

let token = sessionStorage.getItem(KEY);
let isLost = false; // since then another program may listen at this address
let proving = null;
let isLeft = false; // what a page was reading then is ended by the browser itself, and no connection is lost

for (const kind of ["pagehide", "pageshow"]) addEventListener(kind, () => { isLeft = kind === "pagehide"; });

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
    keep(value.token);
  }
  return token !== null;
}

function keep(value) {
  token = value;
  sessionStorage.setItem(KEY, value);
}

export function signOut() {
  token = null;
  sessionStorage.removeItem(KEY);
}

// The connection was lost: the token is told to nobody before who answers has shown to know it.
// A page that is loaded from there meanwhile does not find it either.
export function lose() {
  if (isLeft) return;
  isLost = true;
  sessionStorage.removeItem(KEY);
}

export async function request(path, options = {}) {
  if (isLost) await (proving ??= prove().finally(() => { proving = null; }));
  const headers = {Authorization: `Bearer ${token}`, ...options.headers};
  try {
    return await fetch(path, {...options, headers, cache: "no-store", credentials: "omit", redirect: "error"});
  } catch (error) {
    if (!options.signal?.aborted) lose();
    throw error;
  }
}

async function prove() {
  const nonce = crypto.randomUUID(), bytes = new TextEncoder();
  const response = await fetch("/v1/dashboard/proof", {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({nonce}), cache: "no-store", redirect: "error",
  });
  const {proofs} = await response.json();
  const secret = await crypto.subtle.digest("SHA-256", bytes.encode(token));
  const key = await crypto.subtle.importKey("raw", secret, {name: "HMAC", hash: "SHA-256"}, false, ["sign"]);
  const signature = new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes.encode(nonce)));
  const own = [...signature].map((one) => one.toString(16).padStart(2, "0")).join("");
  if (!Array.isArray(proofs) || !proofs.includes(own)) {
    throw new Problem({type: "/problems/wrong_token", detail: "another hostler answers at this address"}, 401);
  }
  isLost = false;
  keep(token);
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
