// The catalogue: search it, filter it, page through it.
import { useState } from "preact/hooks";
import { get, query } from "../api.js";
import { Card, Empty, ItemLink, Loaded, Scroll, html, listed, useEntries, useLoad } from "../components.js";
import { Pager, usePages } from "../pager.js";
import { t } from "../i18n.js";

const PAGE = 50;
const ATTRIBUTES = 3;

export function Catalogue() {
  const [text, setText] = useState("");
  const [filter, setFilter] = useState("");
  const [draft, setDraft] = useState("");
  const pages = usePages([text, filter]);
  const found = useLoad(async (signal) => {
    const asked = { k: PAGE, filter };
    if (text) return { items: (await get("v1/search" + query({ ...asked, q: text }), signal)).items, next: null };
    const page = await get("v1/items" + query({ ...asked, cursor: pages.cursor }), signal);
    listed(page.items.filter((item) => "categories" in item && "available" in item));
    return page;
  }, [text, filter, pages.cursor]);
  return html`<div class="title"><h1>${t("nav.items")}</h1></div><${Card} id="items" title=${t("items.title")} hint=${t("items.hint")}>
    <form class="line" onSubmit=${(event) => (event.preventDefault(), setFilter(draft.trim()))}>
      <div class="field grow"><label for="q">${t("items.search")}</label><input id="q" type="search" value=${text} onInput=${(event) => setText(event.target.value.trim())} /></div>
      <div class="field grow"><label for="filter">${t("items.filter")}</label><input id="filter" value=${draft} placeholder='price < 20 && "tea" in categories' onInput=${(event) => setDraft(event.target.value)} /></div>
      <button>${t("items.apply")}</button></form>
    <${Loaded} of=${found}>${(data) => data.items.length
      ? html`<${Items} ids=${data.items.map((item) => item.item_id)} /><${Pager} pages=${pages} next=${data.next} busy=${found.loading} />`
      : text || filter ? html`<${Empty} title=${t("items.none")}>${t("items.none.next")}<//>` : html`<${Empty} title=${t("items.empty")}>${t("items.empty.next")} <a href="#/data">${t("nav.data")}</a><//>`}<//><//>`;
}

function Items({ ids }) {
  const entries = useEntries(ids);
  return html`<${Scroll} label=${t("items.title")}><table><thead><tr><th scope="col">${t("items.item")}</th><th scope="col">${t("items.categories")}</th>
    <th scope="col">${t("items.attributes")}</th><th scope="col">${t("items.state")}</th></tr></thead><tbody>${ids.map((id) => {
    const entry = entries.get(id);
    return html`<tr key=${id}><td><${ItemLink} id=${id} entries=${entries} /></td><td>${(entry?.categories ?? []).join(", ")}</td>
      <td class="muted">${Object.entries(entry?.attributes ?? {}).slice(0, ATTRIBUTES).map(([name, value]) => `${name} ${value}`).join(" · ")}</td>
      <td>${entry ? html`<span class=${"badge " + (entry.available ? "good" : "bad")}>${entry.available ? t("item.available") : t("item.hidden")}</span>` : html`<span class="muted">${t("items.noentry")}</span>`}</td></tr>`;
  })}</tbody></table><//>`;
}
