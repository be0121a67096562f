// Health, memory and metrics of the server.
import { useEffect, useState } from "preact/hooks";
import { get, readiness } from "../api.js";
import { Card, ErrorNote, Loaded, Loading, Scroll, html, useLoad } from "../components.js";
import { bytes, percent, t, whole } from "../i18n.js";
import { failure, samples, watch } from "../metrics.js";

export function System() {
  useEffect(watch, []);
  const now = samples.value.at(-1);
  const health = useLoad(async () => ({ state: await readiness(), info: (await get("openapi.json")).info }), []);
  return html`<div class="title"><h1>${t("nav.system")}</h1></div><${ErrorNote} error=${failure.value} /><div class="grid2">
    <${Card} id="health" title=${t("system.health")}><${Loaded} of=${health}>${({ state, info }) => html`<dl class="pairs">
      <dt>${t("system.state")}</dt><dd><span class=${"badge " + (state === "ready" ? "good" : "warn")}>${state === "ready" ? t("system.ready") : state}</span></dd>
      <dt>${t("system.version")}</dt><dd>${info.version}</dd><dt>${t("system.address")}</dt><dd><code>${location.origin}</code></dd>
      <dt>${t("system.links")}</dt><dd><a href="docs">${t("system.docs")}</a> · <a href="openapi.json">OpenAPI</a> · <a href="metrics">${t("system.metrics")}</a></dd></dl>`}<//><//>
    <${Card} id="memory" title=${t("system.memory")} hint=${t("system.memory.hint")}>${now ? html`<${Memory} now=${now} />` : html`<${Loading} />`}<//></div>
    <${Card} id="metrics" title=${t("system.metrics")} hint=${t("system.metrics.hint")}>${now ? html`<${Metrics} now=${now} />` : html`<${Loading} />`}<//>
    <${Config} />`;
}

function Config() {
  const found = useLoad((signal) => get("v1/config", signal), []);
  const rows = (value, name) => value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length
    ? Object.entries(value).flatMap(([key, of]) => rows(of, name ? `${name}.${key}` : key)) : [[name, value]];
  return html`<${Card} id="config" title=${t("config.title")} hint=${t("config.hint")}><${Loaded} of=${found}>${(data) => html`<${Scroll} label=${t("config.title")}><table class="tight"><thead><tr>
    <th scope="col">${t("config.setting")}</th><th scope="col">${t("system.value")}</th></tr></thead><tbody>${rows(data, "").map(([name, value]) => html`<tr><td><code>${name}</code></td><td>${value === null ? html`<span class="muted">${t("config.unset")}</span>` : html`<code>${JSON.stringify(value)}</code>`}</td></tr>`)}</tbody></table><//>`}<//><//>`;
}

function Memory({ now }) {
  const used = new Map((now.values.get("nearline_memory_used_bytes") ?? []).map((one) => [one.labels.part, one.value]));
  return html`<dl class="pairs">${(now.values.get("nearline_memory_limit_bytes") ?? []).map(({ labels, value }) => html`<dt>${labels.part}</dt>
    <dd><meter min="0" max=${value} value=${used.get(labels.part) ?? 0} aria-label=${labels.part}></meter> ${t("system.of", { used: bytes(used.get(labels.part) ?? 0), limit: bytes(value) })} <small class="muted">${percent((used.get(labels.part) ?? 0) / value)}</small></dd>`)}</dl>`;
}

function Metrics({ now }) {
  const [text, setText] = useState("");
  const rows = [...now.values].filter(([name]) => !/_bucket$|_created$/.test(name) && name.includes(text.trim()))
    .flatMap(([name, values]) => values.map((one) => ({ name, ...one })));
  return html`<div class="field"><label for="metric">${t("system.find")}</label><input id="metric" type="search" value=${text} onInput=${(event) => setText(event.target.value)} /></div>
    <${Scroll} label=${t("system.metrics")}><table class="tight"><thead><tr><th scope="col">${t("system.metric")}</th><th scope="col">${t("system.labels")}</th><th scope="col" class="n">${t("system.value")}</th></tr></thead>
    <tbody>${rows.map(({ name, labels, value }) => html`<tr><td><code>${name}</code></td><td class="muted">${Object.entries(labels).map(([key, of]) => `${key}=${of}`).join(", ")}</td>
      <td class="n">${name.endsWith("_bytes") ? bytes(value) : whole(value)}</td></tr>`)}</tbody></table><//>`;
}
