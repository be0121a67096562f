// What lists led to, and the weights of relations over time.
import { useState } from "preact/hooks";
import { call, get, query } from "../api.js";
import { Chart } from "../chart.js";
import { Card, Empty, ErrorNote, Field, Loaded, Scroll, Tile, colourOf, html, relationName, useAction, useLoad } from "../components.js";
import { digits, rate, t, whole } from "../i18n.js";

const DAY = 86400;
const seconds = (day, after = 0) => (day ? Date.parse(day) / 1000 + after : "");

export function Report() {
  const [asked, setAsked] = useState({ since: "", until: "", scenario: "" });
  const [by, setBy] = useState("position");
  const found = useLoad((signal) => get("v1/report" + query({ ...asked, since: seconds(asked.since), until: seconds(asked.until, DAY) }), signal), [asked]);
  const field = (name, type) => html`<${Field} label=${t(`report.${name}`)}>${(of) => html`<input id=${of} type=${type} value=${asked[name]} onChange=${(event) => setAsked({ ...asked, [name]: event.target.value.trim() })} />`}<//>`;
  return html`<div class="title"><h1>${t("nav.report")}</h1></div><div class="stack">
    <${Card} id="report" title=${t("report.title")} hint=${t("report.hint")}>
      <div class="line">${field("since", "date")}${field("until", "date")}${field("scenario", "text")}</div>
      <${Loaded} of=${found}>${(data) => html`<${Led} data=${data} by=${by} setBy=${setBy} />`}<//><//><${Weights} /></div>`;
}

function Led({ data, by, setBy }) {
  if (!data.total.lists) return html`<${Empty} title=${t("report.empty")}>${t("report.empty.next")}<//>`;
  const events = Object.entries(data.events).map(([kind, n]) => `${kind} ${whole(n)}`).join(" · ");
  return html`<dl class="tiles"><${Tile} label=${t("overview.users")} value=${whole(data.users)} /><${Tile} label=${t("overview.lists")} value=${whole(data.total.lists)} />
      <${Tile} label=${t("report.through")} value=${rate(data.total.click_through)} /><${Tile} label=${t("report.conversion")} value=${rate(data.total.conversion)} />
      <${Tile} label=${t("overview.events")} value=${whole(Object.values(data.events).reduce((sum, n) => sum + n, 0))} note=${events} /></dl>
    <${Field} label=${t("report.by")}>${(of) => html`<select id=${of} value=${by} onChange=${(event) => setBy(event.target.value)}>${Object.keys(data.by).map((one) => html`<option value=${one}>${t(`report.by.${one}`)}</option>`)}</select>`}<//>
    <${Scroll} label=${t(`report.by.${by}`)}><table class="tight"><thead><tr><th scope="col">${t(`report.by.${by}`)}</th>${["lists", "lines", "clicked", "converted", "through", "conversion"].map(
      (one) => html`<th scope="col" class="n">${t(`report.${one}`)}</th>`)}</tr></thead><tbody>${(data.by[by] ?? []).map((one) => html`<tr key=${one.value}>
      <td>${one.value || "–"}</td>${[one.lists, one.items, one.clicked, one.converted].map((n) => html`<td class="n">${whole(n)}</td>`)}
      <td class="n">${rate(one.click_through)}</td><td class="n">${rate(one.conversion)}</td></tr>`)}</tbody></table><//>`;
}

function Weights() {
  const found = useLoad((signal) => get("v1/weights", signal), []);
  const [set, busy, error] = useAction(async (frozen) => {
    await call("PUT", "v1/weights", { frozen });
    found.reload();
  });
  const frozen = found.data?.frozen;
  return html`<${Card} id="weights" title=${t("weights.title")} hint=${t("weights.hint")} actions=${found.data && html`<button disabled=${busy} onClick=${() => set(!frozen)}>${t(frozen ? "weights.thaw" : "weights.freeze")}</button>`}>
    <${ErrorNote} error=${error} /><${Loaded} of=${found}>${(data) => html`<p><span class=${"badge " + (data.frozen ? "warn" : "good")}>${t(data.frozen ? "weights.frozen" : "weights.follow")}</span></p>
      ${Object.keys(data.trained).length ? html`<${Now} data=${data} />` : html`<${Empty} title=${t("weights.empty")}>${t("weights.empty.next")}<//>`}`}<//><//>`;
}

function Now({ data: { trained, factors, history } }) {
  const names = Object.keys(trained);
  return html`<${Scroll} label=${t("weights.title")}><table class="tight"><thead><tr><th scope="col">${t("parts.relation")}</th>${["trained", "factor", "now"].map(
      (one) => html`<th scope="col" class="n">${t(`weights.of.${one}`)}</th>`)}</tr></thead><tbody>${names.map((name) => html`<tr key=${name}><td>${relationName(name)}</td>
      ${[trained[name], factors[name] ?? 1, trained[name] * (factors[name] ?? 1)].map((x) => html`<td class="n">${digits(x)}</td>`)}</tr>`)}</tbody></table><//>
    ${history.length > 1 ? html`<${Chart} label=${t("weights.over")} times=${history.map(([at]) => at)} format=${(x) => (x === null || x === undefined ? "–" : `× ${digits(x)}`)}
      series=${names.map((name) => [relationName(name), `--${colourOf(name)}`, history.map(([, then]) => then[name] ?? null)])} />` : html`<p class="muted">${t("weights.still")}</p>`}`;
}
