// Calls of the HTTP API. URLs are relative to the page, so that a prefix of a proxy stays in place.
import { signal } from "@preact/signals";

const KEY = "nearline.key";

/** Whether the server refused the last call because it carried no valid API key. */
export const locked = signal(false);
/** Whether the server is still opening its store; null until it is known. */
export const opening = signal(null);
const OPENING = "the store is being opened";

/** Ask the server until its store is open. */
export async function waitUntilOpen() {
  try {
    const response = await fetch(new URL("readyz", document.baseURI));
    opening.value = response.status === 503 && (await response.json()).status === OPENING;
  } catch {
    opening.value = false; // what is wrong is for the page to say
  }
  if (opening.value) setTimeout(waitUntilOpen, 1000);
}

/** Bounded cache of item entries by ID; null for an item without an entry. */
const entries = new Map();
const MAX_ENTRIES = 5000;

/** An error of the API (RFC 9457), or of the connection if `status` is 0. */
export class Problem extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `HTTP ${status}`);
    this.status = status;
    this.field = problem.field;
    this.requestId = problem.request_id;
  }
}

export const apiKey = () => sessionStorage.getItem(KEY);

/** Keep a key if the server accepts it. */
export async function logIn(key) {
  sessionStorage.setItem(KEY, key);
  try {
    await get("v1/snapshots");
    locked.value = false;
  } catch (error) {
    sessionStorage.removeItem(KEY);
    throw error;
  }
}

export function logOut() {
  sessionStorage.removeItem(KEY);
  locked.value = true;
}

/** Percent-encode path segments: path`v1/users/${id}`. */
export const path = (parts, ...ids) => String.raw({ raw: parts }, ...ids.map(encodeURIComponent));

/** Return a query string without empty values. */
export function query(values) {
  const sent = Object.entries(values).filter(([, v]) => v !== "" && v !== null && v !== undefined);
  return sent.length ? "?" + new URLSearchParams(sent) : "";
}

async function request(method, url, body, signal) {
  const headers = {};
  if (apiKey()) headers["X-API-Key"] = apiKey();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(new URL(url, document.baseURI), {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, {});
  }
  if (response.status === 401) locked.value = true;
  if (!response.ok && response.status !== 503) throw await problemOf(response);
  return response;
}

async function problemOf(response) {
  const problem = await response.json().catch(() => ({}));
  return new Problem(response.status, problem);
}

/** Call the API and return the decoded answer. */
export async function call(method, url, body, signal) {
  const response = await request(method, url, body, signal);
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

export const get = (url, signal) => call("GET", url, undefined, signal);

/** Return a text, such as the metrics. */
export async function getText(url, signal) {
  const response = await request("GET", url, undefined, signal);
  if (!response.ok) throw await problemOf(response);
  return response.text();
}

/** Return a file, such as an export. */
export async function getFile(url) {
  const response = await request("GET", url);
  if (!response.ok) throw await problemOf(response);
  return response.blob();
}

/** Status of the server, also while it is not ready. */
export async function readiness() {
  const response = await request("GET", "readyz");
  return (await response.json()).status;
}

/** Return the entries of items by ID, from the cache where possible; null where there is none. */
export async function itemEntries(ids) {
  const missing = [...new Set(ids)].filter((id) => !entries.has(id));
  let next = 0;
  const worker = async () => {
    while (next < missing.length) {
      const id = missing[next++];
      try {
        remember(id, await get(path`v1/items/${id}`));
      } catch (error) {
        if (error.status !== 404) throw error;
        remember(id, null);
      }
    }
  };
  await Promise.all(Array.from({ length: 6 }, worker));
  return new Map(ids.map((id) => [id, entries.get(id) ?? null]));
}

export function remember(id, entry) {
  if (entries.size >= MAX_ENTRIES) entries.delete(entries.keys().next().value);
  entries.set(id, entry && { ...entry, vectors: undefined });
}

export const forgetEntry = (id) => entries.delete(id);
