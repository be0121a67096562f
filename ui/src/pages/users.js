// The users: page through them, or open one by its ID.
import { useState } from "preact/hooks";
import { get, query } from "../api.js";
import { Card, Empty, Loaded, Scroll, html, useLoad } from "../components.js";
import { Pager, usePages } from "../pager.js";
import { t } from "../i18n.js";
import { go, link } from "../router.js";

const PAGE = 50;

export function Users() {
  const [id, setId] = useState("");
  const pages = usePages([]);
  const found = useLoad((signal) => get("v1/users" + query({ k: PAGE, cursor: pages.cursor }), signal), [pages.cursor]);
  return html`<div class="title"><h1>${t("nav.users")}</h1></div><${Card} id="users" title=${t("users.title")} hint=${t("users.hint")}>
    <form class="line" onSubmit=${(event) => (event.preventDefault(), id.trim() && go("user", id.trim()))}>
      <div class="field"><label for="user">${t("users.id")}</label><input id="user" value=${id} maxlength="512" onInput=${(event) => setId(event.target.value)} /></div><button>${t("users.open")}</button></form>
    <${Loaded} of=${found}>${(data) => data.users.length
      ? html`<${Scroll} label=${t("users.title")}><table><thead><tr><th scope="col">${t("users.id")}</th><th scope="col">${t("items.attributes")}</th></tr></thead>
          <tbody>${data.users.map((user) => html`<tr key=${user.user_id}><td><a href=${link("user", user.user_id)}>${user.user_id}</a></td>
            <td class="muted">${Object.entries(user.attributes ?? {}).map(([name, value]) => `${name} ${value}`).join(" · ") || "–"}</td></tr>`)}</tbody></table><//>
        <${Pager} pages=${pages} next=${data.next} busy=${found.loading} />`
      : html`<${Empty} title=${t("users.empty")}>${t("users.empty.next")} <a href="#/data">${t("nav.data")}</a><//>`}<//><//>`;
}
