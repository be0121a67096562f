// A tour of six steps, from the overview to an event whose effect is seen.
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { get, path, query } from "./api.js";
import { html } from "./components.js";
import { t } from "./i18n.js";
import { link } from "./router.js";

const KEY = "nearline.tour";
/** Page of each step, given the user and an item of the list. */
const STEPS = [
  () => link("overview"),
  ({ user }) => link("user", user),
  ({ user }) => link("user", user),
  ({ user }) => link("user", user),
  ({ item }) => link("item", item),
  ({ user }) => link("user", user),
];

const stored = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
/** The running tour: {step, user, item}; null if there is none. */
export const tour = signal(stored);

function keep(value) {
  tour.value = value;
  if (value) sessionStorage.setItem(KEY, JSON.stringify(value));
  else sessionStorage.removeItem(KEY);
}

/** Begin with a user, or with the first one who has a list. */
export async function beginTour(wanted) {
  const user = wanted ?? (await get("v1/users" + query({ k: 1 }))).users[0]?.user_id;
  if (user === undefined) return (location.hash = link("data"));
  const list = (await get(path`v1/users/${user}/recommendations` + query({ k: 1 }))).items;
  keep({ step: 0, user, item: list[0]?.item_id ?? "" });
  location.hash = STEPS[0]();
}

export const endTour = () => keep(null);

function go(step) {
  keep({ ...tour.value, step });
  location.hash = STEPS[step](tour.value);
}

export function Tour() {
  const now = tour.value;
  const heading = useRef();
  useEffect(() => heading.current?.focus({ preventScroll: true }), [now?.step]);
  if (!now) return null;
  const last = now.step === STEPS.length - 1;
  return html`<aside class="tour card" aria-labelledby="tour"><p class="muted">${t("tour.step", { n: now.step + 1, of: STEPS.length })}</p>
    <h2 id="tour" tabindex="-1" ref=${heading}>${t(`tour.title.${now.step + 1}`)}</h2><p>${t(`tour.text.${now.step + 1}`, now)}</p>
    <div class="actions end"><button class="quiet" onClick=${endTour}>${t("tour.end")}</button>
      ${now.step > 0 && html`<button onClick=${() => go(now.step - 1)}>${t("pager.back")}</button>`}
      ${last ? html`<button class="primary" onClick=${endTour}>${t("tour.done")}</button>` : html`<button class="primary" onClick=${() => go(now.step + 1)}>${t("pager.next")}</button>`}</div></aside>`;
}
