// The server's HTTP API. Addresses are relative to the page, so that a proxy may give the server a path of its own.

let token = "";

export class ServerError extends Error {}

export function useToken(text) {
  token = text;
}

export function hasToken() {
  return token !== "";
}

export function modelPath(name) {
  return "v2/models/" + encodeURIComponent(name);
}

export function address(path) {
  return new URL(path, document.baseURI).href;
}

// The answer; throws ServerError with the server's own words where it is none of success.
export async function ask(path, { method = "GET", body, headers = {} } = {}) {
  if (/[^!-~]/.test(token)) throw new ServerError("The token has characters that no token has: copy it anew.");
  if (token) headers = { ...headers, Authorization: "Bearer " + token };
  let response;
  try {
    response = await fetch(address(path), { method, body, headers, cache: "no-store", redirect: "error" });
  } catch {
    throw new ServerError("The server cannot be reached.");
  }
  if (response.ok) return response;
  const text = await response.text();
  let said = text;
  try {
    said = JSON.parse(text).error ?? text;
  } catch {
    // no JSON: shown as it is
  }
  throw new ServerError(response.status + " " + (said || response.statusText));
}

export async function askJson(path, options) {
  return (await ask(path, options)).json();
}
