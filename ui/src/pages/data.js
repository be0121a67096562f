// Import a file: choose it, map its columns, look at the summary, then store it.
import { useMemo, useRef, useState } from "preact/hooks";
import { call } from "../api.js";
import { Card, ErrorNote, Field, Scroll, Tile, html, useAction } from "../components.js";
import { bytes, t, time, whole } from "../i18n.js";
import { FIELDS, MAX_BYTES, guessColumns, guessKind, parseTable, readRows, tagOf } from "../table.js";

const BATCH = 1000;
const PREVIEW = 5;

export function Data() {
  const [table, setTable] = useState(null);
  const [kind, setKind] = useState("events");
  const [columns, setColumns] = useState({});
  const [open, busy, error] = useAction(async (file) => {
    if (file.size > MAX_BYTES) throw new Error(t("data.large", { size: bytes(file.size), limit: bytes(MAX_BYTES) }));
    const text = await file.text();
    const parsed = parseTable(text, file.name);
    if (!parsed.rows.length) throw new Error(t("data.norows", { name: file.name }));
    const guessed = guessKind(parsed.header);
    setKind(guessed);
    setColumns(guessColumns(parsed.header, guessed));
    setTable({ ...parsed, name: file.name, size: file.size, tag: tagOf(text) });
  });
  const change = (next) => (setKind(next), setColumns(guessColumns(table.header, next)));
  return html`<div class="title"><h1>${t("nav.data")}</h1></div><div class="stack">
    <${Choose} onFile=${open} busy=${busy} /><${ErrorNote} error=${error} />
    ${table && html`<${Columns} table=${table} kind=${kind} onKind=${change} columns=${columns} onColumns=${setColumns} />
      <${Import} key=${table.tag + kind} table=${table} kind=${kind} columns=${columns} />`}</div>`;
}

function Choose({ onFile, busy }) {
  const [over, setOver] = useState(false);
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    if (event.dataTransfer.files[0]) onFile(event.dataTransfer.files[0]);
  };
  return html`<${Card} id="choose" title=${t("data.choose")} hint=${t("data.choose.hint")}>
    <div class=${"drop" + (over ? " over" : "")} onDragOver=${(event) => (event.preventDefault(), setOver(true))} onDragLeave=${() => setOver(false)} onDrop=${drop}>
      <b>${t("data.drop")}</b><input id="file" class="sr" type="file" accept=".csv,.tsv,.txt,.inter,.item,.jsonl,.ndjson,.json" disabled=${busy}
        onChange=${(event) => event.target.files[0] && onFile(event.target.files[0])} /><label for="file" class="button">${t("data.pick")}</label></div><//>`;
}

function Columns({ table, kind, onKind, columns, onColumns }) {
  return html`<${Card} id="columns" title=${t("data.columns")} hint=${t("data.columns.hint", { name: table.name, size: bytes(table.size) })}>
    <div class="line"><${Field} label=${t("data.kind")}>${(id) => html`<select id=${id} value=${kind} onChange=${(event) => onKind(event.target.value)}>
      <option value="events">${t("data.events")}</option><option value="items">${t("data.items")}</option></select>`}<//>
      ${FIELDS[kind].map((field) => html`<${Field} key=${kind + field} label=${t(`field.${field}`)}>${(id) => html`<select id=${id} value=${columns[field]}
        onChange=${(event) => onColumns({ ...columns, [field]: Number(event.target.value) })}><option value=${-1}>${t("data.nocolumn")}</option>
        ${table.header.map((name, at) => html`<option value=${at}>${name || at + 1}</option>`)}</select>`}<//>`)}</div>
    <${Scroll} label=${t("data.preview")}><table class="tight"><thead><tr>${table.header.map((name, at) => html`<th scope="col">${name || at + 1}</th>`)}</tr></thead>
      <tbody>${table.rows.slice(0, PREVIEW).map(({ cells }) => html`<tr>${table.header.map((_, at) => html`<td>${(cells[at] ?? "").slice(0, 80)}</td>`)}</tr>`)}</tbody></table><//><//>`;
}

function Import({ table, kind, columns }) {
  const read = useMemo(() => readRows(table, kind, columns, table.tag), [table, kind, columns]);
  const [progress, setProgress] = useState(null);
  const stop = useRef(false);
  const [store, busy, error] = useAction(async () => {
    stop.current = false;
    const total = { done: 0, accepted: 0, duplicates: 0 };
    for (let at = 0; at < read.good.length && !stop.current; at += BATCH) {
      const batch = read.good.slice(at, at + BATCH);
      const answer = await call("POST", kind === "events" ? "v1/events" : "v1/items", batch);
      total.done += batch.length;
      total.accepted += answer.accepted;
      total.duplicates += answer.duplicates;
      setProgress({ ...total });
    }
    setProgress({ ...total, over: true });
  });
  return html`<${Card} id="summary" title=${t("data.summary")} hint=${t("data.summary.hint")} actions=${busy
    ? html`<button onClick=${() => (stop.current = true)}>${t("data.stop")}</button>`
    : html`<button class="primary" disabled=${!read.good.length} onClick=${store}>${t("data.store", { n: whole(read.good.length) })}</button>`}>
    <dl class="tiles"><${Tile} label=${t("data.rows")} value=${whole(table.rows.length)} /><${Tile} label=${t("data.good")} value=${whole(read.good.length)} />
      <${Tile} label=${t("data.bad")} value=${whole(read.bad)} />${kind === "events" && html`<${Tile} label=${t("overview.users")} value=${whole(read.users)} />`}
      <${Tile} label=${t("overview.items")} value=${whole(read.items)} /></dl>
    ${kind === "events" && html`<dl class="pairs"><dt>${t("data.kinds")}</dt><dd>${read.kinds.slice(0, 8).map(([name, n]) => `${name} ${whole(n)}`).join(" · ") || "–"}</dd>
      <dt>${t("data.times")}</dt><dd>${read.from < Infinity ? `${time(read.from)} – ${time(read.until)}` : t("data.notimes")}</dd></dl>`}
    ${read.bad > 0 && html`<details open><summary>${t("data.problems", { n: whole(read.bad) })}</summary><ul class="rows">${read.problems.map(
      ({ line, reason, field }) => html`<li>${t(`data.problem.${reason}`, { line: whole(line), field: t(`field.${field}`) })}</li>`)}</ul></details>`}
    ${progress && html`<div role="status"><progress max=${read.good.length} value=${progress.done} aria-label=${t("data.progress")}></progress>
      <p class=${progress.over ? "good" : "muted"}>${t("data.stored", { done: whole(progress.done), total: whole(read.good.length), accepted: whole(progress.accepted), duplicates: whole(progress.duplicates) })}
      ${progress.over && html` <a href="#/models">${t("data.next")}</a>`}</p></div>`}<${ErrorNote} error=${error} /><//>`;
}
