// A user: history, list with the parts of each score, and a list for other circumstances.
import { useEffect, useMemo, useState } from "preact/hooks";
import { call, get, path, query } from "../api.js";
import { Card, Confirm, Empty, ErrorNote, Field, ItemLink, Legend, Loaded, Parts, ScoreBar, html, tierName, useAction, useEntries, useLoad } from "../components.js";
import { ItemInput } from "../iteminput.js";
import { ago, duration, percent, score, t, time, whole } from "../i18n.js";
import { link } from "../router.js";
import { tour } from "../tour.js";

const SHOWN = 12;
const EXPLAINED = 20;
const KINDS = ["view", "like", "cart", "purchase", "dislike"];
const PLAIN = { k: 10, category: "", filter: "", diversity: 0, include_seen: false };

/** The options of a request that differ from the defaults. */
function sentOptions({ k, category, filter, diversity, include_seen }) {
  return {
    k,
    category: category || undefined,
    filter: filter || undefined,
    diversity: diversity || undefined,
    exclude_seen: include_seen ? false : undefined,
  };
}

/** Load the list as stored, and the list of the changed history and options. */
async function loadLists(id, history, changes, options, since, signal) {
  const asked = { ...sentOptions(options), explain: true };
  const { added, removed } = changes;
  const base = { k: options.k, explain: true };
  if (!added.length && !removed.length) {
    const changed = JSON.stringify(sentOptions(options)) !== JSON.stringify(sentOptions({ ...PLAIN, k: options.k }));
    const own = (sent) => get(path`v1/users/${id}/recommendations` + query(sent), signal);
    const [before, after] = await Promise.all([own(base), changed ? own(asked) : null]);
    if (since && !changed) return { before: since, after: before, changed: true, since: true, user: id };
    return { before, after: after ?? before, changed, user: id };
  }
  // Both lists are made from item IDs, so that only the change makes a difference.
  const ids = history.map((event) => event.item_id).reverse();
  const ask = (sent) => call("POST", "v1/recommendations", sent, signal);
  const [before, after] = await Promise.all([
    ask({ ...base, history: ids }),
    ask({ ...asked, history: [...ids.filter((item) => !removed.includes(item)), ...added] }),
  ]);
  return { before, after, changed: true, user: null };
}

export function User({ id }) {
  const user = useLoad((signal) => get(path`v1/users/${id}`, signal).catch(unknownUser), [id]);
  const [changes, setChanges] = useState({ added: [], removed: [] });
  const [options, setOptions] = useState(PLAIN);
  const [seconds, setSeconds] = useState(null);
  const [since, setSince] = useState(null);
  const history = user.data?.history ?? [];
  const lists = useLoad(
    async (signal) => {
      if (!user.data) return null;
      const start = performance.now();
      const found = await loadLists(id, history, changes, options, since, signal);
      setSeconds((performance.now() - start) / 1000);
      return found;
    },
    [id, user.data, changes, options, since],
  );
  const what = { changes, setChanges, options, setOptions, setSince };
  const recorded = () => {
    if (lists.data) setSince(lists.data.since ? lists.data.before : lists.data.after);
    user.reload();
  };
  return html`<div class="title"><div><p class="crumb"><a href=${link("users")}>${t("nav.users")}</a></p><h1>${id}</h1></div>
    <${Forget} id=${id} onDone=${user.reload} /></div>
    <${Loaded} of=${user}>${(data) => html`<div class="split">
      <div class="stack"><${WhatIf} ...${what} changed=${lists.data?.changed} /><${List} lists=${lists} seconds=${seconds} changed=${lists.data?.changed} /></div>
      <div class="stack"><${Record} id=${id} onDone=${recorded} /><${Attributes} values=${data.attributes} /><${History} events=${data.history} ...${what} /></div>
    </div>`}<//>`;
}

const unknownUser = (error) => {
  if (error.status === 404) return { history: [], attributes: {} };
  throw error;
};

function Attributes({ values }) {
  const names = Object.keys(values ?? {});
  if (!names.length) return null;
  return html`<${Card} id="attributes" title=${t("user.attributes")}><dl class="pairs">${names.map(
    (name) => html`<dt>${name}</dt><dd>${String(values[name])}</dd>`,
  )}</dl><//>`;
}

function Forget({ id, onDone }) {
  const [open, setOpen] = useState(false);
  const [erased, setErased] = useState(null);
  const [forget, busy, error] = useAction(async () => {
    setOpen(false);
    setErased((await call("DELETE", path`v1/users/${id}`)).erased);
    onDone();
  });
  return html`<div class="actions"><a href=${link("privacy", id)}>${t("nav.privacy")}</a>${erased !== null && html`<span class="good" role="status">${t("user.erased", { n: whole(erased) })}</span>`}
    <button class="danger quiet" disabled=${busy} onClick=${() => setOpen(true)}>${t("user.forget")}</button>
    <${ErrorNote} error=${error} /><${Confirm} open=${open} title=${t("user.forget.title", { id })} action=${t("user.forget")} onYes=${forget} onNo=${() => setOpen(false)}>${t("user.forget.text")}<//></div>`;
}

function Record({ id, onDone }) {
  const [item, setItem] = useState(tour.value?.user === id ? tour.value.item : "");
  const [kind, setKind] = useState("view");
  const [done, setDone] = useState(null);
  const [record, busy, error] = useAction(async () => {
    const start = performance.now();
    await call("POST", "v1/events", { user_id: id, item_id: item.trim(), event: kind });
    setDone((performance.now() - start) / 1000);
    setItem("");
    onDone();
  });
  return html`<${Card} id="record" title=${t("record.title")} hint=${t("record.hint")}>
    <form class="line" onSubmit=${(event) => (event.preventDefault(), record())}>
      <${Field} label=${t("record.item")}>${(of) => html`<${ItemInput} id=${of} value=${item} onValue=${setItem} required />`}<//>
      <${Field} label=${t("record.kind")}>${(of) => html`<select id=${of} value=${kind} onChange=${(event) => setKind(event.target.value)}>${KINDS.map(
        (name) => html`<option value=${name}>${t(`kind.${name}`)}</option>`)}</select>`}<//>
      <button class="primary" disabled=${busy}>${t("record.store")}</button></form>
    ${done !== null && html`<p class="good" role="status">${t("record.done", { time: duration(done) })}</p>`}<${ErrorNote} error=${error} /><//>`;
}

function History({ events, changes, setChanges }) {
  const [all, setAll] = useState(false);
  const shown = all ? events : events.slice(0, SHOWN);
  const entries = useEntries(shown.map((event) => event.item_id));
  if (!events.length)
    return html`<${Card} id="history" title=${t("history.title")}><${Empty} title=${t("history.empty")}>${t("history.empty.next")}<//><//>`;
  const toggle = (item) => setChanges({
    ...changes,
    removed: changes.removed.includes(item) ? changes.removed.filter((other) => other !== item) : [...changes.removed, item],
  });
  return html`<${Card} id="history" title=${t("history.title")} hint=${t("history.hint", { n: whole(events.length) })}>
    <ul class="rows">${shown.map(({ item_id: item, weight, timestamp }) => {
      const out = changes.removed.includes(item);
      return html`<li class=${out ? "out" : ""}><span class="grow"><${ItemLink} id=${item} entries=${entries} /></span>
        <span class="muted nowrap" title=${t("history.weight")}>× ${score(weight)}</span>
        <time class="muted nowrap" title=${time(timestamp)}>${ago(timestamp)}</time>
        <button class="quiet small" aria-pressed=${out} aria-label=${t("history.toggle", { item })} title=${t("history.toggle", { item })} onClick=${() => toggle(item)}>${out ? "+" : "−"}</button></li>`;
    })}</ul>
    ${events.length > SHOWN && html`<button class="quiet" onClick=${() => setAll(!all)}>${all ? t("less") : t("all", { n: whole(events.length) })}</button>`}<//>`;
}

function WhatIf({ changes, setChanges, options, setOptions, setSince, changed }) {
  const [item, setItem] = useState("");
  const entries = useEntries([...changes.added, ...changes.removed]);
  const set = (name) => (event) => setOptions({ ...options, [name]: event.target.value });
  const add = (event) => {
    event.preventDefault();
    if (item.trim()) setChanges({ ...changes, added: [...changes.added, item.trim()] });
    setItem("");
  };
  const chip = (list, id, at, sign) => html`<li><button class="chip" onClick=${() =>
    setChanges({ ...changes, [list]: changes[list].filter((_, other) => other !== at) })}
    aria-label=${t("whatif.undo", { item: id })}>${sign} ${entries.get(id)?.title || id} ✕</button></li>`;
  return html`<${Card} id="whatif" title=${t("whatif.title")} hint=${t("whatif.hint")} actions=${changed &&
    html`<button class="quiet" onClick=${() => (setChanges({ added: [], removed: [] }), setSince(null), setOptions({ ...PLAIN, k: options.k }))}>${t("whatif.reset")}</button>`}>
    <form class="line" onSubmit=${add}><${Field} label=${t("whatif.add")}>${(of) => html`<${ItemInput} id=${of} value=${item} onValue=${setItem} />`}<//>
      <button>${t("whatif.put")}</button></form>
    ${(changes.added.length > 0 || changes.removed.length > 0) && html`<ul class="chips">${changes.added.map((id, at) => chip("added", id, at, "+"))}${changes.removed.map((id, at) => chip("removed", id, at, "−"))}</ul>`}
    <div class="line">
      <${Field} label=${t("whatif.category")}>${(of) => html`<input id=${of} value=${options.category} onChange=${set("category")} />`}<//>
      <${Field} label=${t("whatif.filter")}>${(of) => html`<input id=${of} value=${options.filter} placeholder="price < 20" onChange=${set("filter")} />`}<//>
      <${Field} label=${t("whatif.diversity", { x: percent(options.diversity) })}>${(of) => html`<input id=${of} type="range" min="0" max="1" step="0.1" value=${options.diversity}
        onChange=${(event) => setOptions({ ...options, diversity: Number(event.target.value) })} />`}<//>
      <${Field} label=${t("whatif.k")}>${(of) => html`<select id=${of} value=${options.k} onChange=${(event) => setOptions({ ...options, k: Number(event.target.value) })}>${[10, 20, 50].map(
        (n) => html`<option value=${n}>${n}</option>`)}</select>`}<//>
      <label class="check"><input type="checkbox" checked=${options.include_seen} onChange=${(event) => setOptions({ ...options, include_seen: event.target.checked })} />${t("whatif.seen")}</label>
    </div><//>`;
}

function List({ lists, seconds, changed }) {
  const data = lists.data;
  const lines = data?.after?.items ?? [];
  const gone = data ? data.before.items.filter((line) => !lines.some((other) => other.item_id === line.item_id)) : [];
  const entries = useEntries([...lines, ...gone].flatMap((line) => [line.item_id, ...(line.reasons ?? []).map((part) => part.source)]).filter(Boolean));
  const exact = useExact(data?.user ?? null, lines, data?.after.offset);
  const places = useMemo(() => new Map((data?.before?.items ?? []).map((line, at) => [line.item_id, at])), [data]);
  if (lists.error) return html`<${ErrorNote} error=${lists.error} />`;
  if (!data) return html`<${Card} id="list" title=${t("list.title")}><div class="skeleton"></div><//>`;
  const most = Math.max(...lines.map((line) => line.score), 0);
  const partsOf = (line) => exact.get(line.item_id) ?? withRest(line.reasons ?? [], line.score);
  const names = [...new Set(lines.flatMap((line) => partsOf(line).map((part) => part.relation)))];
  return html`<${Card} id="list" title=${data.since ? t("list.since") : changed ? t("list.changed") : t("list.title")}
    hint=${t("list.hint", { n: whole(lines.length), time: duration(seconds), offset: whole(data.after.offset) })}>
    <${Legend} names=${names} />
    ${lines.length ? html`<ol class="list" aria-busy=${lists.loading}>${lines.map((line, at) => html`<${Line} key=${line.item_id} parts=${partsOf(line)} line=${line} at=${at} was=${changed ? places.get(line.item_id) : at} most=${most} entries=${entries} />`)}</ol>`
      : html`<${Empty} title=${t("list.empty")}>${t("list.empty.next")}<//>`}
    ${gone.length > 0 && html`<details class="gone" open><summary>${t("list.gone", { n: whole(gone.length) })}</summary><ul class="chips">${gone.map(
      (line) => html`<li><a class="chip" href=${link("item", line.item_id)}>${entries.get(line.item_id)?.title || line.item_id}</a></li>`)}</ul></details>`}<//>`;
}

function Move({ at, was }) {
  if (was === at) return html`<span class="move"></span>`;
  if (was === undefined) return html`<span class="move new">${t("list.new")}</span>`;
  const up = was > at;
  return html`<span class=${"move " + (up ? "up" : "down")} aria-label=${t(up ? "list.up" : "list.down", { n: Math.abs(was - at) })}>${up ? "▲" : "▼"}${Math.abs(was - at)}</span>`;
}

function Line({ parts, line, at, was, most, entries }) {
  const [open, setOpen] = useState(false);
  const entry = entries.get(line.item_id);
  return html`<li><details onToggle=${(event) => setOpen(event.target.open)}><summary><span class="rank">${at + 1}</span><${Move} at=${at} was=${was} />
    <span class="grow named"><b>${entry?.title || line.item_id}</b><small class="muted">${(entry?.categories ?? []).slice(0, 3).join(" · ") || (entry?.title ? line.item_id : "")}</small></span>
    <span class="tier">${tierName(line.tier)}</span><${ScoreBar} parts=${parts} total=${line.score} most=${most} /><span class="n">${score(line.score)}</span></summary>
    <div class="inside">${open && html`<${Inside} parts=${parts} total=${line.score} />`}
      <p><a href=${link("item", line.item_id)}>${t("list.open")}</a></p></div></details></li>`;
}

function Inside({ parts, total }) {
  const entries = useEntries(parts.map((part) => part.source).filter(Boolean));
  return html`<${Parts} parts=${parts} total=${total} entries=${entries} />`;
}

/** All parts of the scores of a user's first lines, as the server explains them; none for a changed history. */
function useExact(user, lines, offset) {
  const [found, setFound] = useState(new Map());
  const items = user === null ? [] : lines.slice(0, EXPLAINED).map((line) => line.item_id);
  useEffect(() => {
    const stop = new AbortController();
    setFound(new Map());
    Promise.all(items.map((item) => get(path`v1/users/${user}/explanations/${item}`, stop.signal))).then(
      (all) => setFound(new Map(all.filter((one) => one.parts.length).map((one) => [one.item_id, one.parts]))),
      () => {}, // the parts in the list remain
    );
    return () => stop.abort();
  }, [user, offset, items.join("\u0000")]);
  return found;
}

/** Parts that sum to the score: lists contain only the largest ones. */
function withRest(parts, total) {
  const rest = total - parts.reduce((sum, part) => sum + part.amount, 0);
  return Math.abs(rest) <= 1e-6 * Math.abs(total) ? parts : [...parts, { source: "", relation: "rest", amount: rest }];
}
