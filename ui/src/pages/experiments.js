// Experiments: start one, watch its intervals, stop it.
import { useEffect, useState } from "preact/hooks";
import { call, get, path } from "../api.js";
import { Card, Confirm, Empty, ErrorNote, Field, Loaded, Scroll, Tile, html, useAction, useLoad } from "../components.js";
import { ago, change, digits, rate, t, time, whole } from "../i18n.js";
import { go, link } from "../router.js";

const POLL_MS = 10_000;
const variants = { "as-it-is": {}, diverse: { settings: { diversity: 0.3 } } };
// Beginnings of definitions, from which people start to write.
const STARTS = {
  plain: { variants, metric: "click" },
  guarded: { variants, metric: "click", coverage: 0.2, guardrails: [{ metric: "purchase", worst: -0.05 }] },
  interleave: { variants, metric: "click", mode: "interleave" },
};

export function Experiments({ id }) {
  const found = useLoad((signal) => get("v1/experiments", signal), []);
  return html`<div class="title"><h1>${t("nav.experiments")}</h1></div><div class="split"><div class="stack">
      ${id === null ? html`<${Starter} />` : html`<${Watched} name=${id} onDone=${found.reload} />`}</div>
    <div class="stack"><${Card} id="experiments" title=${t("experiments.all")} hint=${t("experiments.all.hint")} actions=${id !== null && html`<a href=${link("experiments")}>${t("experiments.new")}</a>`}>
      <${Loaded} of=${found}>${(data) => data.experiments.length ? html`<ul class="rows">${data.experiments.map((one) => html`<li key=${one.name}>
        <a class="grow named" href=${link("experiments", one.name)} aria-current=${one.name === id ? "true" : undefined}>${one.name}<small>${Object.keys(one.variants).join(" · ")}</small></a><${State} of=${one} /></li>`)}</ul>`
        : html`<${Empty} title=${t("experiments.empty")}>${t("experiments.empty.next")}<//>`}<//><//></div></div>`;
}

const State = ({ of }) => html`<span class=${"badge " + (of.running === false ? "" : "busy")} title=${of.stopped ?? (of.started && time(of.started))}>${t(of.running === false ? "experiments.stopped" : "state.running")}</span>`;

function Starter() {
  const [name, setName] = useState("");
  const [text, setText] = useState(JSON.stringify(STARTS.plain, null, 2));
  const [start, busy, error] = useAction(async () => {
    let body;
    try {
      body = JSON.parse(text);
    } catch (problem) {
      throw new Error(t("rules.json", { why: problem.message }));
    }
    await call("PUT", path`v1/experiments/${name.trim()}`, body);
    go("experiments", name.trim());
  });
  return html`<${Card} id="starter" title=${t("experiments.start")} hint=${t("experiments.start.hint")}>
    <div class="line">${Object.keys(STARTS).map((one) => html`<button class="quiet" onClick=${() => setText(JSON.stringify(STARTS[one], null, 2))}>${t(`experiments.from.${one}`)}</button>`)}</div>
    <form onSubmit=${(event) => (event.preventDefault(), start())}>
      <${Field} label=${t("rules.name")}>${(of) => html`<input id=${of} required maxlength="512" value=${name} onInput=${(event) => setName(event.target.value)} />`}<//>
      <${Field} label=${t("rules.definition")}>${(of) => html`<textarea id=${of} rows="16" spellcheck="false" value=${text} onInput=${(event) => setText(event.target.value)}></textarea>`}<//>
      <div class="actions end"><button class="primary" disabled=${busy}>${t("experiments.store")}</button></div></form><${ErrorNote} error=${error} /><//>`;
}

function Watched({ name, onDone }) {
  const own = useLoad((signal) => get(path`v1/experiments/${name}`, signal), [name]);
  const results = useLoad((signal) => get(path`v1/experiments/${name}/results`, signal), [name]);
  const running = results.data?.running;
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => document.hidden || results.reload(), POLL_MS);
    return () => clearInterval(timer);
  }, [running]);
  const [asked, setAsked] = useState(null);
  const [act, busy, error] = useAction(async () => {
    const removes = asked === "delete";
    setAsked(null);
    await call(removes ? "DELETE" : "POST", path`v1/experiments/${name}` + (removes ? "" : "/stop"));
    if (removes) return go("experiments");
    [own, results].forEach((one) => one.reload());
    onDone();
  });
  const buttons = html`<button disabled=${busy || !running} onClick=${() => setAsked("stop")}>${t("experiments.stop")}</button>
    <button class="danger" disabled=${busy} onClick=${() => setAsked("delete")}>${t("rules.delete")}</button>`;
  return html`<${Card} id="watched" title=${name} hint=${running ? t("experiments.polled") : ""} actions=${buttons}><${ErrorNote} error=${error} />
      <${Loaded} of=${results}>${(data) => html`<${Results} data=${data} />`}<//><//>
    <${Confirm} open=${asked !== null} title=${t(asked === "delete" ? "rules.delete.title" : "experiments.stop.title", { name })} action=${t(asked === "delete" ? "rules.delete" : "experiments.stop")} onYes=${act} onNo=${() => setAsked(null)}>${t(asked === "delete" ? "experiments.delete.text" : "experiments.stop.text")}<//>
    ${own.data && html`<${Card} id="definition" title=${t("experiments.definition")}><pre><code>${JSON.stringify(own.data, null, 2)}</code></pre><//>`}`;
}

function Results({ data }) {
  return html`<dl class="tiles"><${Tile} label=${t("items.state")} value=${t(data.running ? "state.running" : "experiments.stopped")} note=${data.stopped ?? (data.started && ago(data.started))} />
      <${Tile} label=${t("experiments.metric")} value=${data.metric} note=${t(`experiments.mode.${data.mode}`)} />
      <${Tile} label=${t("experiments.required")} value=${data.required_users === null ? "–" : whole(data.required_users)} /></dl>
    ${!data.sound && html`<div class="note bad" role="alert">${t("experiments.unsound")}</div>`}
    <${Scroll} label=${t("experiments.variants")}><table><thead><tr><th scope="col">${t("experiments.variant")}</th>${["users", "lists", "rate", "through"].map(
      (one) => html`<th scope="col" class="n">${t(`experiments.of.${one}`)}</th>`)}</tr></thead><tbody>${data.variants.map((one) => html`<tr key=${one.variant}>
      <td>${one.variant} ${one.variant === data.control && html`<span class="badge">${t("experiments.control")}</span>`}</td><td class="n">${whole(one.users)}</td><td class="n">${whole(one.lists)}</td>
      <td class="n">${rate(one.rate)}</td><td class="n">${rate(one.click_through)}</td></tr>`)}</tbody></table><//>
    <${Comparisons} title=${t("experiments.compared", { control: data.control })} rows=${data.comparisons} />
    ${Object.entries(data.segments).map(([name, rows]) => html`<${Comparisons} title=${name} rows=${rows} />`)}
    ${data.variants.every((one) => one.lists === 0) && html`<p class="muted">${t("experiments.unserved")}</p>`}`;
}

function Comparisons({ title, rows }) {
  const most = Math.max(...rows.map((one) => Math.max(Math.abs(one.low ?? 0), Math.abs(one.high ?? 0))), 0.001);
  return html`<h3>${title}</h3><${Scroll} label=${title}><table><thead><tr><th scope="col">${t("experiments.variant")}</th><th scope="col" class="n">${t("experiments.difference")}</th>
    <th scope="col">${t("experiments.interval")}</th><th scope="col" class="n">${t("experiments.lift")}</th><th scope="col" class="n">p</th></tr></thead><tbody>${rows.map((one) => html`<tr key=${one.variant}>
      <td>${one.variant} ${one.significant && html`<span class=${"badge " + (one.difference > 0 ? "good" : "bad")}>${t(one.difference > 0 ? "experiments.better" : "experiments.worse")}</span>`}</td>
      ${one.low === null ? html`<td class="muted" colspan="4">${t("experiments.few")}</td>` : html`<td class="n">${change(one.difference)}</td><td><${Interval} of=${one} most=${most} /></td>
      <td class="n">${one.lift === null ? "–" : change(one.lift)}</td><td class="n">${one.p < 0.001 ? "< 0.001" : digits(one.p)}</td>`}</tr>`)}</tbody></table><//>`;
}

/** An interval as a line around its difference; the middle of the picture is no difference. */
function Interval({ of, most }) {
  const at = (x) => 60 + (56 * x) / most;
  const tone = !of.significant ? "" : of.difference > 0 ? "good" : "danger";
  return html`<span class=${"interval nowrap " + tone}><svg viewBox="0 0 120 14" width="120" height="14" aria-hidden="true"><path class="zero" d="M60 0v14" />
    <path d=${`M${at(of.low)} 7H${at(of.high)}`} /><circle cx=${at(of.difference)} cy="7" r="3.5" /></svg> <small>${change(of.low)} … ${change(of.high)}</small></span>`;
}
