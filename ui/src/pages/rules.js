// Scenarios and rules: edit as JSON, and see a list before and after.
import { useState } from "preact/hooks";
import { call, get, path, query } from "../api.js";
import { Card, Confirm, Empty, ErrorNote, Field, ItemLink, Loaded, html, useAction, useEntries, useLoad } from "../components.js";
import { score, t } from "../i18n.js";

// Beginnings of each kind, from which people start to write.
const STARTS = {
  scenario: { home: { k: 5, diversity: 0.3 }, sale: { filter: "price < 20" }, mixed: { max_per: { category: 2 } } },
  rule: {
    pin: { pin: { item_id: "", position: 1 } },
    bury: { bury: { filter: "price > 100" } },
    scale: { scale: { filter: '"tea" in categories', factor: 1.5 } },
  },
};

export function Rules() {
  const found = useLoad(async (signal) => {
    const [scenarios, rules] = await Promise.all([get("v1/scenarios", signal), get("v1/rules", signal)]);
    return { scenario: scenarios.scenarios, rule: rules.rules };
  }, []);
  const [edited, setEdited] = useState(null);
  return html`<div class="title"><h1>${t("nav.rules")}</h1></div><${Loaded} of=${found}>${(data) => html`<div class="split"><div class="stack">
      ${edited ? html`<${Editor} key=${edited.kind + edited.name} edited=${edited} scenarios=${Object.keys(asMap(data.scenario))} onDone=${found.reload} onClose=${() => setEdited(null)} />`
        : html`<${Card} id="editor" title=${t("rules.edit")}><${Empty} title=${t("rules.none")}>${t("rules.none.next")}<//><//>`}</div>
    <div class="stack">${["scenario", "rule"].map((kind) => html`<${Listing} kind=${kind} values=${asMap(data[kind])} onEdit=${setEdited} chosen=${edited} />`)}</div></div>`}<//>`;
}

/** Definitions by name, from a mapping or a list of entries with names. */
const asMap = (values) => Array.isArray(values) ? Object.fromEntries(values.map(({ name, ...rest }) => [name, rest])) : values;

function Listing({ kind, values, onEdit, chosen }) {
  const names = Object.keys(values);
  return html`<${Card} id=${kind} title=${t(`rules.${kind}s`)} hint=${t(`rules.${kind}s.hint`)}>
    ${names.length ? html`<ul class="rows">${names.map((name) => html`<li key=${name}><span class="grow"><b>${name}</b><br /><code class="muted">${JSON.stringify(values[name])}</code></span>
      <button class="small" aria-label=${t("rules.edit.one", { name })} aria-pressed=${chosen?.kind === kind && chosen.name === name} onClick=${() => onEdit({ kind, name, body: values[name] })}>${t("rules.edit")}</button></li>`)}</ul>` : html`<p class="muted">${t(`rules.${kind}s.empty`)}</p>`}
    <div class="line">${Object.entries(STARTS[kind]).map(([name, body]) => html`<button class="quiet" onClick=${() => onEdit({ kind, name: "", start: name, body })}>+ ${t(`rules.start.${name}`)}</button>`)}</div><//>`;
}

function Editor({ edited, scenarios, onDone, onClose }) {
  const [name, setName] = useState(edited.name || edited.start);
  const [text, setText] = useState(JSON.stringify(edited.body, null, 2));
  const [user, setUser] = useState("");
  const [under, setUnder] = useState(edited.kind === "scenario" ? edited.name : edited.body.scenario ?? "");
  const [asking, setAsking] = useState(false);
  const [lists, setLists] = useState(null);
  const resource = () => path`v1/${edited.kind + "s"}/${name.trim()}`;
  const list = async (scenario) => (await get(path`v1/users/${user.trim() || "somebody"}/recommendations` + query({ k: 10, scenario }))).items;
  const parse = () => {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new Error(t("rules.json", { why: error.message }));
    }
  };
  // A list is made before and after the definition is stored, by the requests that clients send.
  const [store, busy, error] = useAction(async () => {
    const body = parse();
    const scenario = edited.kind === "scenario" ? name.trim() : under || body.scenario || "";
    const known = edited.kind !== "scenario" || scenarios.includes(scenario);
    const before = await list(known ? scenario : "");
    await call("PUT", resource(), body);
    setLists({ before, after: await list(scenario) });
    onDone();
  });
  const [remove, , failed] = useAction(async () => {
    setAsking(false);
    await call("DELETE", resource());
    onDone();
    onClose();
  });
  return html`<${Card} id="editor" title=${t(`rules.the.${edited.kind}`)} hint=${t("rules.editor.hint")} actions=${html`<button class="quiet" onClick=${onClose}>${t("rules.close")}</button>`}>
    <form onSubmit=${(event) => (event.preventDefault(), store())}><div class="line">
      <${Field} label=${t("rules.name")}>${(id) => html`<input id=${id} required maxlength="512" value=${name} readonly=${Boolean(edited.name)} onInput=${(event) => setName(event.target.value)} />`}<//>
      <${Field} label=${t("rules.user")}>${(id) => html`<input id=${id} value=${user} maxlength="512" onInput=${(event) => setUser(event.target.value)} />`}<//>
      ${edited.kind === "rule" && html`<${Field} label=${t("rules.under")}>${(id) => html`<select id=${id} value=${under} onChange=${(event) => setUnder(event.target.value)}><option value="">${t("rules.under.none")}</option>${scenarios.map((one) => html`<option value=${one}>${one}</option>`)}</select>`}<//>`}</div>
      <${Field} label=${t("rules.definition")}>${(id) => html`<textarea id=${id} rows="9" spellcheck="false" value=${text} onInput=${(event) => setText(event.target.value)}></textarea>`}<//>
      <div class="actions end">${edited.name && html`<button type="button" class="danger" onClick=${() => setAsking(true)}>${t("rules.delete")}</button>`}<button class="primary" disabled=${busy}>${t("rules.store")}</button></div></form>
    <${ErrorNote} error=${error ?? failed} /><${Confirm} open=${asking} title=${t("rules.delete.title", { name })} action=${t("rules.delete")} onYes=${remove} onNo=${() => setAsking(false)}>${t("rules.delete.text")}<//><//>
    ${lists && html`<${Sides} ...${lists} />`}`;
}

function Sides({ before, after }) {
  const entries = useEntries([...before, ...after].map((line) => line.item_id));
  const place = new Map(before.map((line, at) => [line.item_id, at]));
  const same = before.length === after.length && after.every((line, at) => place.get(line.item_id) === at);
  const side = (id, title, lines, moves) => html`<${Card} id=${id} title=${title}>${lines.length ? html`<ol class="rows">${lines.map((line, at) => html`<li><span class="rank">${at + 1}</span>
    <span class="grow"><${ItemLink} id=${line.item_id} entries=${entries} /></span>${moves && place.get(line.item_id) !== at && html`<span class=${"move " + (place.has(line.item_id) ? (place.get(line.item_id) > at ? "up" : "down") : "new")}>${
      place.has(line.item_id) ? `${place.get(line.item_id) > at ? "▲" : "▼"}${Math.abs(place.get(line.item_id) - at)}` : t("list.new")}</span>`}<span class="n">${score(line.score)}</span></li>`)}</ol>` : html`<p class="muted">${t("list.empty")}</p>`}<//>`;
  return html`<p role="status" class=${same ? "muted" : "good"}>${t(same ? "rules.same" : "rules.changed")}</p><div class="grid2">${side("before", t("rules.before"), before, false)}${side("after", t("rules.after"), after, true)}</div>`;
}
