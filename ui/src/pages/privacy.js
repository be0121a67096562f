// The rights of a person: consent, interest tags, export, erasure with its receipt, and how lists are made.
import { useState } from "preact/hooks";
import { call, get, getFile, path } from "../api.js";
import { Card, Confirm, Empty, ErrorNote, Field, Loaded, Scroll, html, save, useAction, useLoad } from "../components.js";
import { known, language, percent, t, time, whole } from "../i18n.js";
import { go, link } from "../router.js";

export function Privacy({ id }) {
  return id === null ? html`<${Choose} />` : html`<${Person} id=${id} />`;
}

function Choose() {
  const [user, setUser] = useState("");
  return html`<div class="title"><h1>${t("nav.privacy")}</h1></div><div class="grid2">
    <${Card} id="choose" title=${t("privacy.choose")} hint=${t("privacy.choose.hint")}>
      <form class="line" onSubmit=${(event) => (event.preventDefault(), user.trim() && go("privacy", user.trim()))}>
        <${Field} label=${t("users.id")}>${(of) => html`<input id=${of} required maxlength="512" autocomplete="off" value=${user} onInput=${(event) => setUser(event.target.value)} />`}<//>
        <button class="primary">${t("users.open")}</button></form><//>
    <${Criteria} /></div>`;
}

function Person({ id }) {
  const consent = useLoad((signal) => get(path`v1/users/${id}/consent`, signal), [id]);
  const tags = useLoad((signal) => get(path`v1/users/${id}/tags`, signal).catch(withoutTags), [id]);
  const reload = () => (consent.reload(), tags.reload());
  return html`<div class="title"><div><p class="crumb"><a href=${link("privacy")}>${t("nav.privacy")}</a></p><h1>${id}</h1></div>
      <div class="actions"><a href=${link("user", id)}>${t("privacy.user")}</a></div></div>
    <div class="grid2"><div class="stack">
      <${Card} id="consent" title=${t("consent.title")} hint=${t("consent.hint")}>
        <${Loaded} of=${consent}>${(data) => html`<${Consent} key=${data.timestamp} id=${id} stored=${data} onDone=${reload} />`}<//><//>
      <${Card} id="tags" title=${t("tags.title")} hint=${t("tags.hint")}>
        <${Loaded} of=${tags}>${(data) => html`<${Tags} id=${id} tags=${data.tags} onDone=${tags.reload} />`}<//><//></div>
    <div class="stack"><${Export} id=${id} /><${Erase} id=${id} onDone=${reload} /><${Criteria} /></div></div>`;
}

const withoutTags = (error) => {
  if (error.status === 404) return { tags: [] };
  throw error;
};

function Consent({ id, stored, onDone }) {
  const [profiling, setProfiling] = useState(stored.profiling);
  const [purposes, setPurposes] = useState(stored.purposes.join("\n"));
  const [store, busy, error] = useAction(async () => {
    const names = purposes.split("\n").map((name) => name.trim()).filter(Boolean);
    await call("PUT", path`v1/users/${id}/consent`, { profiling, purposes: names });
    onDone();
  });
  return html`<form onSubmit=${(event) => (event.preventDefault(), store())}>
      <p role="status"><span class=${"badge " + (stored.profiling ? "good" : "warn")}>${t(stored.profiling ? "consent.on" : "consent.off")}</span>
        <span class="muted"> ${stored.timestamp === null ? t("consent.never") : t("consent.since", { time: time(stored.timestamp) })}</span></p>
      <label class="check"><input type="checkbox" checked=${profiling} onChange=${(event) => setProfiling(event.target.checked)} />${t("consent.profiling")}</label>
      <${Field} label=${t("consent.purposes")} hint=${t("consent.purposes.hint")}>${(of) => html`<textarea id=${of} rows="3" value=${purposes} onInput=${(event) => setPurposes(event.target.value)}></textarea>`}<//>
      <div class="actions end"><button class="primary" disabled=${busy}>${t("consent.store")}</button></div></form><${ErrorNote} error=${error} />`;
}

function Tags({ id, tags, onDone }) {
  const [asked, setAsked] = useState(null);
  const [remove, busy, error] = useAction(async () => {
    setAsked(null);
    await call("DELETE", path`v1/users/${id}/tags/${asked}`);
    onDone();
  });
  const table = html`<${Scroll} label=${t("tags.title")}><table class="tight"><thead><tr><th scope="col">${t("tags.tag")}</th><th scope="col" class="n">${t("tags.weight")}</th>
    <th scope="col" class="n">${t("tags.items")}</th><th scope="col"><span class="sr">${t("models.action")}</span></th></tr></thead><tbody>${tags.map(({ tag, weight, items }) => html`<tr key=${tag}>
      <td>${tag}</td><td class="n">${percent(weight)}</td><td class="n">${whole(items)}</td>
      <td class="end"><button class="small" disabled=${busy} aria-label=${t("tags.delete.one", { tag })} onClick=${() => setAsked(tag)}>${t("tags.delete")}</button></td></tr>`)}</tbody></table><//>`;
  return html`${tags.length ? table : html`<${Empty} title=${t("tags.empty")}>${t("tags.empty.next")}<//>`}<${ErrorNote} error=${error} />
    <${Confirm} open=${asked !== null} title=${t("tags.delete.title", { tag: asked ?? "" })} action=${t("tags.delete")} onYes=${remove} onNo=${() => setAsked(null)}>${t("tags.delete.text")}<//>`;
}

function Export({ id }) {
  const [run, busy, error] = useAction(async () => save(await getFile(path`v1/users/${id}/export`), `${id}.zip`));
  return html`<${Card} id="export" title=${t("export.title")} hint=${t("export.hint")}>
    <button disabled=${busy} onClick=${run}>${t("export.download")}</button><${ErrorNote} error=${error} /><//>`;
}

function Erase({ id, onDone }) {
  const [open, setOpen] = useState(false);
  const [receipt, setReceipt] = useState(null);
  const [erase, busy, error] = useAction(async () => {
    setOpen(false);
    setReceipt((await call("DELETE", path`v1/users/${id}`)).receipt);
    onDone();
  });
  return html`<${Card} id="erase" title=${t("erase.title")} hint=${t("erase.hint")}>
    <button class="danger" disabled=${busy} onClick=${() => setOpen(true)}>${t("user.forget")}</button>
    <${ErrorNote} error=${error} /><${Confirm} open=${open} title=${t("user.forget.title", { id })} action=${t("user.forget")} onYes=${erase} onNo=${() => setOpen(false)}>${t("user.forget.text")}<//>
    ${receipt && html`<${Receipt} receipt=${receipt} />`}<//>`;
}

/** What the server signed about an erasure, and how to check it later. */
function Receipt({ receipt }) {
  const file = () => save(new Blob([JSON.stringify(receipt, null, 2)], { type: "application/json" }), "receipt.json");
  return html`<div class="stack"><p role="status" class="good">${t("user.erased", { n: whole(receipt.erased) })}</p><dl class="pairs">
      <dt>${t("receipt.time")}</dt><dd>${time(receipt.timestamp)}</dd><dt>${t("receipt.offset")}</dt><dd>${whole(receipt.offset)}</dd>
      <dt>${t("receipt.left")}</dt><dd><span class=${"badge " + (receipt.nothing_left ? "good" : "bad")}>${t(receipt.nothing_left ? "receipt.nothing" : "receipt.something")}</span></dd>
      <dt>${t("receipt.user")}</dt><dd><code>${receipt.user}</code></dd><dt>${t("receipt.token")}</dt><dd><code>${receipt.token}</code></dd></dl>
    <p class="muted">${t("receipt.check")} <code>nearline audit receipt --store … TOKEN</code></p>
    <div class="actions"><button onClick=${file}>${t("receipt.save")}</button></div></div>`;
}

function Criteria() {
  const found = useLoad((signal) => get("v1/transparency", signal), []);
  return html`<${Card} id="criteria" title=${t("criteria.title")} hint=${t("criteria.hint")}><${Loaded} of=${found}>${({ criteria }) => criteria.length ? html`<dl class="pairs">${criteria.map((one) => html`
    <dt>${known(`relation.${one.name}`, one.name)}</dt><dd><meter min="0" max="1" value=${one.importance} aria-label=${one.name}></meter> ${percent(one.importance)}
    <small class="named muted">${language.value === "zh" ? one.meaning_zh : one.meaning}</small></dd>`)}</dl>` : html`<p class="muted">${t("criteria.none")}</p>`}<//><//>`;
}
