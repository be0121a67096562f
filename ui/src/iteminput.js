// An input for an item's ID that suggests items whose text matches.
import { useEffect, useId, useState } from "preact/hooks";
import { get, query } from "./api.js";
import { html } from "./components.js";

const WAIT_MS = 150;

export function ItemInput({ id, value, onValue, required }) {
  const [found, setFound] = useState([]);
  const list = useId();
  useEffect(() => {
    if (value.trim().length < 2) return setFound([]);
    const stop = new AbortController();
    const timer = setTimeout(
      () => get("v1/search" + query({ q: value.trim(), k: 8, fields: "title" }), stop.signal).then(({ items }) => setFound(items), () => {}),
      WAIT_MS,
    );
    return () => (clearTimeout(timer), stop.abort());
  }, [value]);
  return html`<input id=${id} list=${list} value=${value} required=${required} autocomplete="off" maxlength="512" onInput=${(event) => onValue(event.target.value)} />
    <datalist id=${list}>${found.map((item) => html`<option value=${item.item_id}>${item.title ?? item.fields?.title ?? item.item_id}</option>`)}</datalist>`;
}
