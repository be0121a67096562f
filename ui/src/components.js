// Parts that several pages use.
import htm from "htm";
import { h } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Problem, itemEntries, locked, remember } from "./api.js";
import { known, percent, score, t } from "./i18n.js";
import { link } from "./router.js";

export const html = htm.bind(h);

/** Load data whenever `inputs` change; return {data, error, loading, reload}. */
export function useLoad(load, inputs) {
  const [state, setState] = useState({ data: null, error: null, loading: true });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    setState((old) => ({ ...old, loading: true }));
    load(stop.signal).then(
      (data) => stop.signal.aborted || setState({ data, error: null, loading: false }),
      (error) => stop.signal.aborted || setState({ data: null, error, loading: false }),
    );
    return () => stop.abort();
  }, [...inputs, turn, locked.value]);
  return { ...state, reload: () => setTurn((n) => n + 1) };
}

/** Run an action of a button; return [run, busy, error]. */
export function useAction(action) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const run = async (...given) => {
    setBusy(true);
    setError(null);
    try {
      await action(...given);
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  return [run, busy, error];
}

/** Titles of items by ID, loaded on demand. */
export function useEntries(ids) {
  const [, setVersion] = useState(0);
  const [found, setFound] = useState(new Map());
  const wanted = [...new Set(ids)].join("\u0000");
  useEffect(() => {
    let gone = false;
    if (wanted)
      itemEntries(wanted.split("\u0000")).then(
        (entries) => gone || (setFound(entries), setVersion((n) => n + 1)),
        () => {},
      );
    return () => (gone = true);
  }, [wanted]);
  return found;
}

export function listed(entries) {
  for (const entry of entries) remember(entry.item_id, entry);
}

export function ErrorNote({ error }) {
  if (!error) return null;
  const text = error instanceof Problem && error.status === 0 ? t("error.offline") : error.message;
  return html`<div class="note bad" role="alert"><strong>${t("error.title")}</strong> ${text}
    ${error.requestId && html`<small class="muted">${t("error.request", { id: error.requestId })}</small>`}</div>`;
}

export const Empty = ({ title, children }) =>
  html`<div class="empty"><strong>${title}</strong><p>${children}</p></div>`;

export const Loading = () => html`<div class="loading" role="status"><span class="spin"></span>${t("loading")}</div>`;

/** Content of a load: the error, a sign that it is loading, or what `children(data)` makes of it. */
export function Loaded({ of, children }) {
  if (of.error) return html`<${ErrorNote} error=${of.error} />`;
  return of.data === null ? html`<${Loading} />` : children(of.data);
}

export function Card({ title, hint, actions, children, id, wide }) {
  return html`<section class=${"card" + (wide ? " wide" : "")} aria-labelledby=${id}>
    <header><div><h2 id=${id}>${title}</h2>${hint && html`<p class="hint">${hint}</p>`}</div>
    ${actions && html`<div class="actions">${actions}</div>`}</header>${children}</section>`;
}

export function Tile({ label, value, unit, note }) {
  return html`<div class="tile"><dt>${label}</dt><dd><b>${value}</b> ${unit && html`<span class="muted">${unit}</span>`}
    ${note && html`<small class="muted">${note}</small>`}</dd></div>`;
}

export function Field({ label, hint, children, error }) {
  const id = useId();
  return html`<div class="field"><label for=${id}>${label}</label>${children(id)}
    ${hint && html`<small class="muted">${hint}</small>`}${error && html`<small class="danger">${error}</small>`}</div>`;
}

/** Offer a file to the user. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const anchor = document.createElement("a");
  [anchor.href, anchor.download] = [url, name];
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A table that can be scrolled by keyboard where it is wider than the page. */
export const Scroll = ({ label, children }) =>
  html`<div class="scroll" tabindex="0" role="region" aria-label=${t("table.of", { name: label })}>${children}</div>`;

export function ItemLink({ id, entries }) {
  const title = entries.get(id)?.title;
  return html`<a href=${link("item", id)} class="named">${title || id}${title && html`<code>${id}</code>`}</a>`;
}

const COLOURS = { transitions: 1, coengagement: 2, content: 3, projected: 5, trending: 6, context: 7 };

/** Class of the colour of a relation or tier. */
export const colourOf = (relation) =>
  relation === "rest" ? "rest" : "c" + (COLOURS[relation] ?? (relation.startsWith("vector:") ? 4 : 0));

export const relationName = (relation) =>
  relation.startsWith("vector:")
    ? t("relation.vector", { name: relation.slice(7) })
    : known(`relation.${relation}`, known(`tier.${relation}`, relation));

export const tierName = (tier) =>
  tier.endsWith("+llm") ? `${known(`tier.${tier.slice(0, -4)}`, tier)} + LLM` : known(`tier.${tier}`, tier);

export const Dot = ({ relation }) => html`<i class=${"dot " + colourOf(relation)} aria-hidden="true"></i>`;

/** Sums of parts by relation, largest first. */
export function byRelation(parts) {
  const sums = new Map();
  for (const part of parts) sums.set(part.relation, (sums.get(part.relation) ?? 0) + part.amount);
  return [...sums].sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
}

/** A bar of a score, divided by relation, whose full length is `most`. */
export function ScoreBar({ parts, total, most }) {
  const sums = byRelation(parts);
  const rest = total - sums.reduce((sum, [, amount]) => sum + amount, 0);
  if (Math.abs(rest) > 1e-6 * Math.abs(total)) sums.push(["rest", rest]);
  const label = sums.map(([name, amount]) => `${relationName(name)} ${score(amount)}`).join(", ");
  return html`<span class="bar" role="img" aria-label=${label} title=${label}>${sums.map(
    ([name, amount]) =>
      html`<i class=${colourOf(name) + (amount < 0 ? " minus" : "")}
        style=${{ width: `${(100 * Math.abs(amount)) / (most || 1)}%` }}></i>`,
  )}</span>`;
}

/** All parts of a score: each with its source, relation and amount. */
export function Parts({ parts, total, entries }) {
  const most = Math.max(...parts.map((part) => Math.abs(part.amount)));
  return html`<table class="parts"><thead><tr><th scope="col">${t("parts.source")}</th><th scope="col">${t("parts.relation")}</th>
    <th scope="col" class="barcell"><span class="sr">${t("parts.bar")}</span></th><th scope="col" class="n">${t("parts.amount")}</th></tr></thead>
    <tbody>${parts.map((part) => html`<tr>
      <td>${part.source ? html`<${ItemLink} id=${part.source} entries=${entries} />` : html`<span class="muted">${t("parts.nosource")}</span>`}</td>
      <td class="nowrap"><${Dot} relation=${part.relation} />${relationName(part.relation)}</td>
      <td class="barcell"><${ScoreBar} parts=${[part]} total=${part.amount} most=${most} /></td>
      <td class="n">${score(part.amount)} <small class="muted">${total > 0 ? percent(part.amount / total) : ""}</small></td></tr>`)}</tbody>
    <tfoot><tr><th scope="row" colspan="3">${t("parts.sum", { n: parts.length })}</th><td class="n">${score(total)}</td></tr></tfoot></table>`;
}

export function Legend({ names }) {
  return html`<ul class="legend">${names.map((name) => html`<li><${Dot} relation=${name} />${relationName(name)}</li>`)}</ul>`;
}

/** A question before something that cannot be undone. */
export function Confirm({ open, title, children, action, onYes, onNo }) {
  const dialog = useRef();
  useEffect(() => {
    if (open && !dialog.current.open) dialog.current.showModal();
    if (!open && dialog.current.open) dialog.current.close();
  }, [open]);
  const id = useId();
  return html`<dialog ref=${dialog} onClose=${onNo} aria-labelledby=${id}><h2 id=${id}>${title}</h2><p>${children}</p>
    <div class="actions end"><button onClick=${onNo}>${t("cancel")}</button><button class="danger" onClick=${onYes}>${action}</button></div></dialog>`;
}

const ICONS = {
  overview: "M3 12h4l3-8 4 16 3-8h4",
  user: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm-7 8a7 7 0 0 1 14 0",
  item: "M4 8l8-4 8 4v8l-8 4-8-4V8Zm0 0 8 4 8-4M12 12v8",
  models: "M12 4l8 4-8 4-8-4 8-4Zm-8 8 8 4 8-4M4 16l8 4 8-4",
  data: "M12 16V4m0 0L7 9m5-5 5 5M4 16v4h16v-4",
  flow: "M4 7h10m-4-4 4 4-4 4m10 6H10m4-4-4 4 4 4",
  rules: "M5 4v16M12 4v16M19 4v16M3 9h4m3 6h4m3-5h4",
  privacy: "M12 3l8 3v6c0 5-3.5 8-8 9-4.5-1-8-4-8-9V6l8-3Zm-3.5 9 2.5 2.5 4.5-5",
  system: "M4 5h16v6H4V5Zm0 8h16v6H4v-6Zm4-5h.01M8 16h.01",
};

export const Icon = ({ name }) =>
  html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${ICONS[name]} /></svg>`;
