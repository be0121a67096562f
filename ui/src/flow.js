// The flow of events and lists, as server-sent events. fetch is used, since EventSource cannot send an API key.
import { signal } from "@preact/signals";
import { apiKey, locked, query } from "./api.js";

const MAX_ENTRIES = 60;
const MAX_TICKS = 600;
const AGAIN_MS = 2000;

export const entries = signal([]);
/** Numbers of events and lists of each message: {time (s), events, lists}. */
export const ticks = signal([]);
export const state = signal("connecting");
let number = 0;

/** Follow until the returned function is called; connects again after an end or an error. */
export function follow(ids) {
  const stop = new AbortController();
  entries.value = [];
  (async () => {
    while (!stop.signal.aborted) {
      try {
        await read(ids, stop.signal);
      } catch (error) {
        if (stop.signal.aborted) return;
        state.value = "lost";
      }
      await new Promise((done) => setTimeout(done, AGAIN_MS));
    }
  })();
  return () => stop.abort();
}

async function read(ids, signal) {
  const headers = apiKey() ? { "X-API-Key": apiKey() } : {};
  const response = await fetch(new URL("v1/flow" + query({ ids }), document.baseURI), { headers, signal });
  if (response.status === 401) locked.value = true;
  if (!response.ok) throw new Error(response.statusText);
  state.value = "live";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    const messages = (rest + value).split("\n\n");
    rest = messages.pop();
    for (const message of messages) if (message.startsWith("data: ")) take(JSON.parse(message.slice(6)));
  }
}

function take(frame) {
  const time = Date.now() / 1000;
  ticks.value = [...ticks.value, { time, events: frame.events, lists: frame.lists }].slice(-MAX_TICKS);
  const fresh = frame.entries.map((entry) => ({ ...entry, time, key: number++ })).reverse();
  entries.value = [...fresh, ...entries.value].slice(0, MAX_ENTRIES);
}
