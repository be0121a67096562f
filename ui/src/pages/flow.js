// Events and lists as they happen.
import { useEffect, useState } from "preact/hooks";
import { Card, Empty, Scroll, Tile, html, useEntries } from "../components.js";
import { entries, follow, state, ticks } from "../flow.js";
import { digits, duration, known, t } from "../i18n.js";
import { link } from "../router.js";

const WINDOW_S = 10;

export function Flow() {
  const [plain, setPlain] = useState(false);
  const [paused, setPaused] = useState(false);
  const [kind, setKind] = useState("all");
  const [now, setNow] = useState(Date.now() / 1000);
  useEffect(() => (paused ? undefined : follow(plain ? "plain" : "masked")), [plain, paused]);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now() / 1000), 1000);
    return () => clearInterval(timer);
  }, []);
  const recent = ticks.value.filter((tick) => tick.time > now - WINDOW_S);
  const rate = (name) => digits(recent.reduce((sum, tick) => sum + tick[name], 0) / WINDOW_S);
  const shown = entries.value.filter((entry) => kind === "all" || entry.kind === kind);
  const times = shown.filter((entry) => entry.kind === "list").map((entry) => entry.milliseconds / 1000).sort((a, b) => a - b);
  const titles = useEntries(plain ? shown.map((entry) => entry.item).filter(Boolean) : []);
  const status = paused ? "paused" : state.value;
  return html`<div class="title"><h1>${t("nav.flow")}</h1><div class="actions"><span class=${"badge " + (status === "live" ? "good" : "warn")} role="status">${t(`flow.${status}`)}</span>
      <button onClick=${() => setPaused(!paused)}>${paused ? t("flow.resume") : t("flow.pause")}</button></div></div>
    <dl class="tiles"><${Tile} label=${t("overview.events")} value=${rate("events")} unit=${t("flow.persecond")} /><${Tile} label=${t("overview.lists")} value=${rate("lists")} unit=${t("flow.persecond")} />
      <${Tile} label=${t("flow.median")} value=${times.length ? duration(times[times.length >> 1]) : "–"} /></dl>
    <${Card} id="flow" title=${t("flow.title")} hint=${t("flow.hint")}>
      <div class="line"><div class="field"><label for="kind">${t("flow.show")}</label><select id="kind" value=${kind} onChange=${(event) => setKind(event.target.value)}>
        ${["all", "event", "list"].map((name) => html`<option value=${name}>${t(`flow.of.${name}`)}</option>`)}</select></div>
        <label class="check"><input type="checkbox" checked=${plain} onChange=${(event) => setPlain(event.target.checked)} />${t("flow.plain")}</label></div>
      ${shown.length ? html`<${Scroll} label=${t("flow.title")}><table class="tight"><thead><tr><th scope="col">${t("flow.time")}</th><th scope="col">${t("flow.kind")}</th><th scope="col">${t("flow.user")}</th>
        <th scope="col">${t("flow.item")}</th><th scope="col" class="n">${t("flow.took")}</th></tr></thead><tbody>${shown.map((entry) => html`<tr key=${entry.key}>
          <td class="nowrap muted">${new Date(entry.time * 1000).toLocaleTimeString()}</td><td class="nowrap"><span class=${"badge " + (entry.kind === "event" ? "busy" : entry.status >= 400 ? "bad" : "")}>${t(`flow.of.${entry.kind}`)}</span> ${what(entry)}</td>
          <td>${id("user", entry.user, plain)}</td><td>${entry.item && (titles.get(entry.item)?.title ? html`<a href=${link("item", entry.item)}>${titles.get(entry.item).title}</a>` : id("item", entry.item, plain))}</td>
          <td class="n">${entry.kind === "list" ? duration(entry.milliseconds / 1000) : ""}</td></tr>`)}</tbody></table><//>`
        : html`<${Empty} title=${t("flow.empty")}>${t("flow.empty.next")}<//>`}<//>`;
}

const what = (entry) => (entry.kind === "event" ? known(`kind.${entry.what}`, entry.what) : html`<code>${entry.what.replace("/v1/", "")}</code>`);
const id = (page, value, plain) => value && (plain ? html`<a href=${link(page, value)}>${value}</a>` : html`<code>${value}</code>`);
