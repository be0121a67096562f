// Snapshots and jobs: train, promote, roll back, follow and cancel.
import { useEffect, useState } from "preact/hooks";
import { call, get, path } from "../api.js";
import { Card, Empty, ErrorNote, Loaded, Scroll, html, useAction, useLoad } from "../components.js";
import { ago, digits, duration, known, t, time, whole } from "../i18n.js";

const POLL_MS = 1000;
const WORKS = ["train", "merge", "checkpoint", "embed"];

export function Models() {
  const jobs = useLoad((signal) => get("v1/jobs", signal), []);
  const snapshots = useLoad((signal) => get("v1/snapshots", signal), []);
  const running = jobs.data?.jobs.some((job) => job.state === "queued" || job.state === "running");
  const [ran, setRan] = useState(false);
  useEffect(() => {
    if (ran && !running) snapshots.reload();
    setRan(running);
    if (!running) return;
    const timer = setInterval(jobs.reload, POLL_MS);
    return () => clearInterval(timer);
  }, [running]);
  const [start, busy, error] = useAction(async (kind) => {
    await call("POST", "v1/jobs", { kind });
    jobs.reload();
  });
  const [rollBack, , failed] = useAction(async () => {
    await call("POST", "v1/snapshots:rollback");
    snapshots.reload();
  });
  const count = snapshots.data?.snapshots.filter((snapshot) => snapshot.promoted).length ?? 0;
  return html`<div class="title"><h1>${t("nav.models")}</h1><div class="actions">
      <button disabled=${count < 2} onClick=${rollBack}>${t("models.rollback")}</button>
      <button class="primary" disabled=${busy || running} onClick=${() => start("train")}>${t("models.train")}</button></div></div>
    <${ErrorNote} error=${error ?? failed} />
    <div class="stack"><${Card} id="snapshots" title=${t("models.snapshots")} hint=${t("models.hint")}>
      <${Loaded} of=${snapshots}>${(data) => html`<${Snapshots} snapshots=${data.snapshots.slice().reverse()} onDone=${snapshots.reload} />`}<//><//>
    <${Card} id="jobs" title=${t("jobs.title")} hint=${t("jobs.hint")} actions=${WORKS.slice(1).map(
      (kind) => html`<button class="quiet" disabled=${busy} onClick=${() => start(kind)}>${t(`job.${kind}`)}</button>`)}>
      <${Loaded} of=${jobs}>${(data) => html`<${Jobs} jobs=${data.jobs} onDone=${jobs.reload} />`}<//><//></div>`;
}

function Snapshots({ snapshots, onDone }) {
  const [promote, busy, error] = useAction(async (id) => {
    await call("POST", path`v1/snapshots/${id}` + ":promote");
    onDone();
  });
  if (!snapshots.length) return html`<${Empty} title=${t("models.empty")}>${t("models.empty.next")}<//>`;
  const metrics = [...new Set(snapshots.flatMap((snapshot) => Object.keys(snapshot.metrics)))];
  const best = Object.fromEntries(metrics.map((name) => [name, bestOf(name, snapshots.flatMap((one) => one.metrics[name] ?? []))]));
  return html`<${ErrorNote} error=${error} /><${Scroll} label=${t("models.snapshots")}><table><thead><tr><th scope="col">${t("models.id")}</th><th scope="col">${t("models.model")}</th>
    <th scope="col">${t("models.written")}</th><th scope="col" class="n">${t("models.items")}</th><th scope="col" class="n">${t("models.offset")}</th>
    ${metrics.map((name) => html`<th scope="col" class="n">${name}</th>`)}<th scope="col"><span class="sr">${t("models.action")}</span></th></tr></thead>
    <tbody>${snapshots.map((one) => html`<tr class=${one.serving ? "chosen" : ""}><td><code>${one.id.slice(0, 8)}</code> ${one.serving && html`<span class="badge good">${t("models.serving")}</span>`}</td>
      <td>${one.model}</td><td class="nowrap" title=${one.written && time(one.written)}>${one.written ? ago(one.written) : "–"}</td><td class="n">${whole(one.items)}</td><td class="n">${whole(one.offset)}</td>
      ${metrics.map((name) => html`<td class=${"n" + (one.metrics[name] === best[name] ? " strong" : "")}>${name in one.metrics ? digits(one.metrics[name]) : "–"}</td>`)}
      <td class="end">${!one.serving && html`<button class="small" disabled=${busy} aria-label=${t("models.promote.one", { id: one.id.slice(0, 8) })} onClick=${() => promote(one.id)}>${t("models.promote")}</button>`}</td></tr>`)}</tbody></table><//>`;
}

function Jobs({ jobs, onDone }) {
  const [cancel, , error] = useAction(async (id) => {
    await call("DELETE", path`v1/jobs/${id}`);
    onDone();
  });
  if (!jobs.length) return html`<${Empty} title=${t("jobs.empty")}>${t("jobs.empty.next")}<//>`;
  return html`<${ErrorNote} error=${error} /><ul class="rows jobs">${jobs.map((job) => {
    const active = job.state === "queued" || job.state === "running";
    const took = (job.finished ?? Date.now() / 1000) - (job.started ?? job.created);
    return html`<li key=${job.id}><span class=${`badge ${STATES[job.state] ?? ""}`}>${t(`state.${job.state}`)}</span>
      <span class="grow"><b>${known(`job.${job.kind}`, job.kind)}</b> <span class="muted">${active ? job.what : job.message}</span>
      ${active && html`<progress max=${job.total || 1} value=${job.total ? job.done : undefined} aria-label=${t("jobs.progress")}></progress>`}</span>
      <span class="muted nowrap" title=${time(job.created)}>${ago(job.created)} · ${duration(took)}</span>
      ${active && html`<button class="small" onClick=${() => cancel(job.id)}>${t("cancel")}</button>`}</li>`;
  })}</ul>`;
}

// Errors are better the smaller they are.
const bestOf = (name, values) => (/rmse|mae|loss/i.test(name) ? Math.min(...values) : Math.max(...values));

const STATES = { done: "good", failed: "bad", refused: "warn", running: "busy" };
