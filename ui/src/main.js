// The shell: navigation, language, theme, login, and the page of the current URL.
import "./style.css";
import { effect } from "@preact/signals";
import { render } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { apiKey, locked, logIn, logOut, opening, waitUntilOpen } from "./api.js";
import { Empty, ErrorNote, Icon, html, useAction } from "./components.js";
import { language, setLanguage, t } from "./i18n.js";
import { Flow } from "./pages/flow.js";
import { Rules } from "./pages/rules.js";
import { Tour, beginTour } from "./tour.js";
import { Data } from "./pages/data.js";
import { Item } from "./pages/item.js";
import { Catalogue } from "./pages/catalogue.js";
import { Models } from "./pages/models.js";
import { Overview } from "./pages/overview.js";
import { Experiments } from "./pages/experiments.js";
import { Report } from "./pages/report.js";
import { Privacy } from "./pages/privacy.js";
import { System } from "./pages/system.js";
import { User } from "./pages/user.js";
import { Users } from "./pages/users.js";
import { go, link, route } from "./router.js";
import { theme, setTheme } from "./theme.js";

// Pages of the navigation, with the pages that belong to each.
const NAVIGATION = [
  ["overview", "overview", ["overview"]],
  ["users", "user", ["users", "user"]],
  ["items", "item", ["items", "item"]],
  ["flow", "flow", ["flow"]],
  ["rules", "rules", ["rules"]],
  ["models", "models", ["models"]],
  ["experiments", "experiments", ["experiments"]],
  ["report", "report", ["report"]],
  ["privacy", "privacy", ["privacy"]],
  ["data", "data", ["data"]],
  ["system", "system", ["system"]],
];
const PAGES = {
  overview: Overview, users: Users, user: User, items: Catalogue, item: Item, flow: Flow, rules: Rules, models: Models, data: Data, experiments: Experiments, report: Report, privacy: Privacy, system: System,
};

effect(() => {
  document.documentElement.lang = language.value;
  document.documentElement.dataset.theme = theme.value;
});

function Login() {
  const [key, setKey] = useState("");
  const [enter, busy, error] = useAction(() => logIn(key.trim()));
  return html`<main class="login" id="main"><form class="card" onSubmit=${(event) => (event.preventDefault(), enter())}>
    <img src="ui/icon.svg" alt="" width="40" height="40" /><h1>${t("login.title")}</h1><p class="muted">${t("login.text")}</p>
    <label for="key">${t("login.key")}</label>
    <input id="key" type="password" autocomplete="off" required value=${key} onInput=${(event) => setKey(event.target.value)} />
    <button class="primary" disabled=${busy}>${t("login.enter")}</button>${error && html`<${ErrorNote} error=${error} />`}</form></main>`;
}

function Find() {
  const [text, setText] = useState("");
  const find = (event) => {
    event.preventDefault();
    if (text.trim()) go("user", text.trim());
    setText("");
  };
  return html`<form class="find" role="search" onSubmit=${find}><label class="sr" for="find">${t("find.label")}</label>
    <input id="find" type="search" placeholder=${t("find.placeholder")} value=${text} onInput=${(event) => setText(event.target.value)} /></form>`;
}

function Head() {
  const { page } = route.value;
  const dark = theme.value === "dark";
  const pages = useRef();
  // On a phone the pages are a row that scrolls.
  useEffect(() => pages.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }), [page, language.value]);
  return html`<header class="top"><a class="brand" href=${link("overview")}><img src="ui/icon.svg" alt="" width="24" height="24" />Nearline</a>
    <nav ref=${pages} aria-label=${t("nav.label")}><ul>${NAVIGATION.map(
      ([name, icon, pages]) =>
        html`<li><a href=${link(name)} aria-current=${pages.includes(page) ? "page" : undefined}><${Icon} name=${icon} />${t(`nav.${name}`)}</a></li>`,
    )}</ul></nav>
    <div class="tools"><${Find} />
      <div class="row"><button class="quiet" onClick=${() => setTheme(dark ? "light" : "dark")} aria-label=${t("theme.toggle")} title=${t("theme.toggle")}>${dark ? "☀" : "☾"}</button>
      <button class="quiet" onClick=${() => setLanguage(language.value === "en" ? "zh" : "en")} lang=${language.value === "en" ? "zh" : "en"}>${language.value === "en" ? "中文" : "English"}</button>
      ${apiKey() && html`<button class="quiet" onClick=${logOut}>${t("login.leave")}</button>`}</div></div></header>`;
}

function App() {
  const { page, id } = route.value;
  const Page = PAGES[page] ?? Overview;
  const main = useRef();
  const first = useRef(true);
  useEffect(() => {
    document.title = [id, t(`nav.${page in PAGES ? { user: "users", item: "items" }[page] ?? page : "overview"}`), "Nearline"].filter(Boolean).join(" · ");
  }, [page, id, language.value]);
  // #/tour/USER begins the tour with this user.
  useEffect(() => void (page === "tour" && !locked.value && opening.value === false && beginTour(id ?? undefined)), [page, id, locked.value, opening.value]);
  // As part of the rendering, so that a key pressed on the new page is never lost to the move of the focus.
  useLayoutEffect(() => {
    if (!first.current) {
      scrollTo(0, 0);
      main.current?.focus();
    }
    first.current = false;
  }, [page, id]);
  if (locked.value) return html`<${Login} />`;
  return html`<a class="skip" href="#main" onClick=${(event) => (event.preventDefault(), main.current.focus())}>${t("skip")}</a><${Head} />
    <main id="main" tabindex="-1" ref=${main}>${opening.value
      ? html`<div role="status"><${Empty} title=${t("opening.title")}>${t("opening.text")}<//></div>`
      : html`<${Page} key=${`${page}/${id}`} id=${id} />`}</main><${Tour} />`;
}

waitUntilOpen();
render(html`<${App} />`, document.getElementById("app"));
