// What the server holds and does now: key figures, rates and durations.
import { useEffect } from "preact/hooks";
import { get } from "../api.js";
import { Chart } from "../chart.js";
import { Card, Empty, ErrorNote, Loading, Scroll, Tile, html, useLoad } from "../components.js";
import { compact, digits, duration, percent, t, whole } from "../i18n.js";
import { beginTour } from "../tour.js";
import { failure, isList, quantile, rate, samples, sum, valueOf, watch } from "../metrics.js";

export function Overview() {
  useEffect(watch, []);
  const all = samples.value;
  const snapshots = useLoad((signal) => get("v1/snapshots", signal), []);
  if (failure.value && !all.length) return html`<h1>${t("nav.overview")}</h1><${ErrorNote} error=${failure.value} />`;
  if (!all.length) return html`<h1>${t("nav.overview")}</h1><${Loading} />`;
  const now = all.at(-1);
  const serving = snapshots.data?.snapshots.find((one) => one.serving);
  return html`<div class="title"><h1>${t("nav.overview")}</h1><div class="actions"><span class="muted">${t("overview.live")}</span>${valueOf(now, "nearline_users") > 0 && html`<button onClick=${() => beginTour()}>${t("tour.begin")}</button>`}</div></div><${ErrorNote} error=${failure.value} />
    <dl class="tiles"><${Tile} label=${t("overview.users")} value=${compact(valueOf(now, "nearline_users") ?? 0)} />
      <${Tile} label=${t("overview.items")} value=${compact(valueOf(now, "nearline_items") ?? 0)} />
      <${Tile} label=${t("overview.records")} value=${compact(valueOf(now, "nearline_log_offset") ?? 0)} />
      <${Tile} label=${t("overview.model")} value=${serving?.model ?? (snapshots.data ? t("overview.untrained") : "…")} note=${serving?.id.slice(0, 8)} />
      <${Tile} label=${t("overview.p99")} value=${duration(quantile(null, now, 0.99, isList))} note=${t("overview.p50", { time: duration(quantile(null, now, 0.5, isList)) })} />
      <${Tile} label=${t("overview.cache")} value=${hitShare(now)} /></dl>
    ${!valueOf(now, "nearline_log_offset") && html`<${Empty} title=${t("overview.empty")}>${t("overview.empty.next")} <a href="#/data">${t("nav.data")}</a><//>`}
    <${Charts} all=${all} /><${Routes} now=${now} before=${all.at(-Math.min(all.length, 6))} />`;
}

function hitShare(now) {
  const hits = sum(now, "nearline_cache_hits_total");
  const asked = hits + sum(now, "nearline_cache_misses_total");
  return asked ? percent(hits / asked) : "–";
}

function Charts({ all }) {
  const pairs = all.slice(1).map((after, at) => [all[at], after]);
  const times = pairs.map(([, after]) => after.time);
  const each = (measure) => pairs.map(([before, after]) => measure(before, after));
  const perSecond = (x) => `${digits(x ?? 0)}/s`;
  const seconds = (x) => (x === null || x === undefined ? "–" : duration(x));
  const durations = (q) => each((before, after) => {
    const found = quantile(before, after, q, isList);
    return Number.isNaN(found) ? null : found;
  });
  return html`<div class="grid2"><${Card} id="rates" title=${t("overview.rates")} hint=${t("overview.rates.hint")}>
    <${Chart} label=${t("overview.rates")} times=${times} format=${perSecond} series=${[
      [t("overview.lists"), "--c2", each((a, b) => rate(a, b, "nearline_requests_total", isList))],
      [t("overview.events"), "--c3", each((a, b) => rate(a, b, "nearline_events_accepted_total"))]]} /><//>
    <${Card} id="latency" title=${t("overview.latency")} hint=${t("overview.latency.hint")}>
    <${Chart} label=${t("overview.latency")} times=${times} format=${seconds} series=${[
      ["p50", "--c1", durations(0.5)], ["p99", "--c6", durations(0.99)]]} /><//></div>`;
}

function Routes({ now, before }) {
  const routes = [...new Set((now.values.get("nearline_requests_total") ?? []).map((one) => one.labels.route))]
    .filter((route) => route.startsWith("/v1/"))
    .map((route) => {
      const here = (labels) => labels.route === route;
      return { route, here, n: sum(now, "nearline_requests_total", here) };
    })
    .sort((a, b) => b.n - a.n);
  return html`<${Card} id="routes" title=${t("routes.title")} hint=${t("routes.hint")}>${routes.length
    ? html`<${Scroll} label=${t("routes.title")}><table><thead><tr><th scope="col">${t("routes.route")}</th><th scope="col" class="n">${t("routes.requests")}</th><th scope="col" class="n">${t("routes.rate")}</th>
      <th scope="col" class="n">p50</th><th scope="col" class="n">p99</th><th scope="col" class="n">${t("routes.errors")}</th></tr></thead><tbody>${routes.map(({ route, here, n }) => {
      const errors = sum(now, "nearline_requests_total", (labels) => here(labels) && labels.status >= "400");
      return html`<tr><td><code>${route}</code></td><td class="n">${whole(n)}</td><td class="n">${before === now ? "–" : `${digits(rate(before, now, "nearline_requests_total", here))}/s`}</td>
        <td class="n">${duration(quantile(null, now, 0.5, here))}</td><td class="n">${duration(quantile(null, now, 0.99, here))}</td><td class=${"n" + (errors ? " danger" : "")}>${whole(errors)}</td></tr>`;
    })}</tbody></table><//>`
    : html`<${Empty} title=${t("routes.empty")}>${t("routes.empty.next")}<//>`}<//>`;
}
