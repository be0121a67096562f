// An item: its entry, and its neighbours as a graph and a table.
import { useState } from "preact/hooks";
import { call, get, path, remember } from "../api.js";
import { Card, Empty, ErrorNote, ItemLink, Legend, Loaded, ScoreBar, byRelation, html, useAction, useEntries, useLoad } from "../components.js";
import { Chart } from "../chart.js";
import { Graph } from "../graph.js";
import { score, t, time, whole } from "../i18n.js";
import { link } from "../router.js";

const NEIGHBOURS = 8;

/** Neighbours of an item with the parts of their scores: the list of a history of this item. */
export async function neighbours(id, k, signal) {
  const { items } = await call("POST", "v1/recommendations", { history: [id], k, explain: true }, signal);
  return items
    .map((line) => ({ ...line, parts: (line.reasons ?? []).filter((part) => part.source === id) }))
    .filter((line) => line.parts.length);
}

export function Item({ id }) {
  const entry = useLoad((signal) => get(path`v1/items/${id}`, signal).catch((error) => {
    if (error.status === 404) return {};
    throw error;
  }), [id]);
  return html`<div class="title"><div><p class="crumb"><a href=${link("items")}>${t("nav.items")}</a></p><h1>${entry.data?.title || id}</h1></div>
    ${entry.data?.item_id && html`<${Availability} entry=${entry.data} onDone=${entry.reload} />`}</div>
    <div class="split wide-left"><div class="stack"><${Neighbours} id=${id} /></div>
    <div class="stack"><${Loaded} of=${entry}>${(data) => html`<${Entry} id=${id} entry=${data} />`}<//><${Trend} id=${id} /></div></div>`;
}

function Trend({ id }) {
  const found = useLoad((signal) => get(path`v1/items/${id}/trend` + "?days=30", signal).catch((error) => {
    if (error.status === 404) return { days: [] };
    throw error;
  }), [id]);
  return html`<${Card} id="trend" title=${t("trend.title")} hint=${t("trend.hint")}><${Loaded} of=${found}>${({ days }) => days.some((day) => day.events)
    ? html`<${Chart} label=${t("trend.title")} times=${days.map((day) => day.start)} format=${(n) => whole(n ?? 0)} series=${[[t("trend.events"), "--c2", days.map((day) => day.events)]]} />`
    : html`<p class="muted">${t("trend.empty")}</p>`}<//><//>`;
}

function Availability({ entry, onDone }) {
  const [change, busy, error] = useAction(async () => {
    remember(entry.item_id, await call("PATCH", path`v1/items/${entry.item_id}`, { available: !entry.available }));
    onDone();
  });
  return html`<div class="actions"><span class=${"badge " + (entry.available ? "good" : "bad")}>${entry.available ? t("item.available") : t("item.hidden")}</span>
    <button disabled=${busy} onClick=${change}>${entry.available ? t("item.hide") : t("item.show")}</button><${ErrorNote} error=${error} /></div>`;
}

function Entry({ id, entry }) {
  if (!entry.item_id)
    return html`<${Card} id="entry" title=${t("item.entry")}><${Empty} title=${t("item.none")}>${t("item.none.next")}<//><//>`;
  const attributes = Object.entries(entry.attributes);
  const vectors = Object.entries(entry.vectors);
  return html`<${Card} id="entry" title=${t("item.entry")}>${entry.text && html`<p class="prose">${entry.text}</p>`}
    ${entry.categories.length > 0 && html`<ul class="chips">${entry.categories.map((name) => html`<li class="chip">${name}</li>`)}</ul>`}
    <dl class="pairs"><dt>${t("item.id")}</dt><dd><code>${id}</code></dd>
      ${attributes.map(([name, value]) => html`<dt>${name}</dt><dd>${Array.isArray(value) ? value.join(", ") : String(value)}</dd>`)}
      ${vectors.map(([name, value]) => html`<dt>${t("item.vector", { name })}</dt><dd>${t("item.dimensions", { n: whole(value.length) })}</dd>`)}
      <dt>${t("item.time")}</dt><dd>${time(entry.timestamp)}</dd>
      ${entry.expires_at && html`<dt>${t("item.expires")}</dt><dd>${time(entry.expires_at)}</dd>`}</dl><//>`;
}

function Neighbours({ id }) {
  const found = useLoad((signal) => neighbours(id, NEIGHBOURS, signal), [id]);
  return html`<${Loaded} of=${found}>${(lines) =>
    lines.length
      ? html`<${Explorer} id=${id} first=${lines} />`
      : html`<${Card} id="graph" title=${t("graph.title")}><${Empty} title=${t("graph.empty")}>${t("graph.empty.next")}<//><//>`}<//>`;
}

function Explorer({ id, first }) {
  const [opened, setOpened] = useState(new Map([[id, first]]));
  const [selected, setSelected] = useState(id);
  const [open, , error] = useAction(async (item) => {
    setSelected(item);
    if (opened.has(item)) return;
    const lines = await neighbours(item, NEIGHBOURS);
    setOpened((old) => new Map(old).set(item, lines));
  });
  const edges = [...opened].flatMap(([source, lines]) =>
    lines.map((line) => ({ source, target: line.item_id, amount: line.score, relation: byRelation(line.parts)[0][0] })));
  const ids = [...new Set([...opened.keys(), ...edges.map((edge) => edge.target)])];
  const entries = useEntries(ids);
  const lines = opened.get(selected) ?? [];
  const names = [...new Set([...opened.values()].flatMap((some) => some.flatMap((line) => line.parts.map((part) => part.relation))))];
  const most = Math.max(...lines.map((line) => line.score), 0);
  return html`<${Card} id="graph" title=${t("graph.title")} hint=${t("graph.hint")} actions=${opened.size > 1 &&
    html`<button class="quiet" onClick=${() => (setOpened(new Map([[id, first]])), setSelected(id))}>${t("graph.reset")}</button>`}>
    <${Legend} names=${names} /><${Graph} root=${id} ids=${ids} edges=${edges} entries=${entries} opened=${opened} selected=${selected} onOpen=${open} /><${ErrorNote} error=${error} /><//>
    <${Card} id="neighbours" title=${t("neighbours.title", { item: entries.get(selected)?.title || selected })}>
      ${lines.length ? html`<ol class="rows">${lines.map((line) => html`<li><span class="grow"><${ItemLink} id=${line.item_id} entries=${entries} /></span>
        <${ScoreBar} parts=${line.parts} total=${line.score} most=${most} /><span class="n">${score(line.score)}</span></li>`)}</ol>`
        : html`<${Empty} title=${t("graph.empty")}>${t("graph.empty.next")}<//>`}<//>`;
}
