// The server's HTTP API. Addresses are relative to the page, so that a proxy may give the server a path of its own.

let token = "";

const PATIENCE_MS = 10000;

export class ServerError extends Error {
  constructor(text, status = 0) {
    super(text);
    this.wantsToken = status === 401;
  }
}

export class UnheardError extends ServerError {}

export function useToken(text) {
  token = text;
}

export function hasToken() {
  return token !== "";
}

// For what is asked again and again: not to wait for ever for a server that answers nothing.
export function patience() {
  return AbortSignal.timeout(PATIENCE_MS);
}

export function modelPath(name) {
  return "v2/models/" + encodeURIComponent(name);
}

export function address(path) {
  return new URL(path, document.baseURI).href;
}

async function heard(promise) {
  try {
    return await promise;
  } catch (error) {
    throw new UnheardError(error.name === "TimeoutError" ? "The server does not answer." : "The server cannot be reached.");
  }
}

// The answer; throws ServerError with the server's own words where it is none of success.
export async function ask(path, { method = "GET", body, headers = {}, signal } = {}) {
  if (/[^!-~]/.test(token)) throw new ServerError("The token has characters that no token has: copy it anew.");
  if (token) headers = { ...headers, Authorization: "Bearer " + token };
  const response = await heard(fetch(address(path), { method, body, headers, signal, cache: "no-store", redirect: "error" }));
  if (response.ok) return response;
  const text = await heard(response.text());
  let said = text;
  try {
    said = JSON.parse(text).error ?? text;
  } catch {
    // no JSON: shown as it is
  }
  throw new ServerError(response.status + " " + (said || response.statusText), response.status);
}

export async function askJson(path, options) {
  return JSON.parse(await heard((await ask(path, options)).text()));
}
