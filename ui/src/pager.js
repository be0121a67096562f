// Pages of a listing by cursor: forward by `next`, back by the cursors that were used.
import { useEffect, useState } from "preact/hooks";
import { html } from "./components.js";
import { t, whole } from "./i18n.js";

/** Cursors of the pages so far, which `inputs` start again. */
export function usePages(inputs) {
  const [cursors, setCursors] = useState([null]);
  useEffect(() => setCursors([null]), inputs);
  return {
    cursor: cursors.at(-1),
    number: cursors.length,
    forward: (next) => setCursors([...cursors, next]),
    back: () => setCursors(cursors.slice(0, -1)),
  };
}

export function Pager({ pages, next, busy }) {
  if (pages.number === 1 && !next) return null;
  return html`<nav class="pager" aria-label=${t("pager.label")}><button disabled=${busy || pages.number === 1} onClick=${pages.back}>${t("pager.back")}</button>
    <span class="muted" aria-live="polite">${t("pager.page", { n: whole(pages.number) })}</span>
    <button disabled=${busy || !next} onClick=${() => pages.forward(next)}>${t("pager.next")}</button></nav>`;
}
