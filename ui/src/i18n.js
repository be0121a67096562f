// Texts and formats in the chosen language.
import { computed, signal } from "@preact/signals";
import en from "./messages/en.json";
import zh from "./messages/zh.json";

const LANGUAGES = { en, zh };
const stored = localStorage.getItem("nearline.language");
const preferred = navigator.languages?.some((tag) => tag.startsWith("zh")) ? "zh" : "en";

export const language = signal(stored in LANGUAGES ? stored : preferred);

export function setLanguage(name) {
  localStorage.setItem("nearline.language", name);
  language.value = name;
}

/** Return a text with its {placeholders} filled in. */
export function t(key, values = {}) {
  const text = LANGUAGES[language.value][key];
  if (text === undefined) {
    console.error(`missing text ${key}`);
    return key;
  }
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Return a text if there is one, or the fallback, for names that come from the server. */
export const known = (key, fallback) => (key in en ? t(key) : fallback);

const formats = computed(() => ({
  whole: new Intl.NumberFormat(language.value),
  compact: new Intl.NumberFormat(language.value, { notation: "compact", maximumFractionDigits: 1 }),
  digits: new Intl.NumberFormat(language.value, { maximumSignificantDigits: 3 }),
  score: new Intl.NumberFormat(language.value, { minimumFractionDigits: 3, maximumFractionDigits: 3 }),
  large: new Intl.NumberFormat(language.value, { minimumFractionDigits: 1, maximumFractionDigits: 1 }),
  percent: new Intl.NumberFormat(language.value, { style: "percent", maximumFractionDigits: 0 }),
  rate: new Intl.NumberFormat(language.value, { style: "percent", maximumFractionDigits: 1 }),
  change: new Intl.NumberFormat(language.value, { style: "percent", maximumFractionDigits: 1, signDisplay: "exceptZero" }),
  time: new Intl.DateTimeFormat(language.value, { dateStyle: "medium", timeStyle: "short" }),
  ago: new Intl.RelativeTimeFormat(language.value, { numeric: "auto", style: "short" }),
}));

export const whole = (x) => formats.value.whole.format(x);
export const compact = (x) => (Math.abs(x) < 10000 ? whole(x) : formats.value.compact.format(x));
export const digits = (x) => (Number.isFinite(x) ? formats.value.digits.format(x) : "–");
export const percent = (x) => formats.value.percent.format(x);
/** Return a share with one decimal, and a difference of shares with its sign. */
export const rate = (x) => formats.value.rate.format(x);
export const change = (x) => formats.value.change.format(x);

/** Return a score with three decimals, or one if it is large. */
export function score(x) {
  if (Math.abs(x) >= 10) return formats.value.large.format(x);
  return x !== 0 && Math.abs(x) < 0.001 ? x.toExponential(1) : formats.value.score.format(x);
}

export const time = (seconds) => (seconds === null ? "–" : formats.value.time.format(seconds * 1000));

/** Return a duration in seconds with a fitting unit. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 0.001) return `${digits(seconds * 1e6)} µs`;
  if (seconds < 1) return `${digits(seconds * 1e3)} ms`;
  if (seconds < 120) return `${digits(seconds)} s`;
  return `${digits(seconds / 60)} min`;
}

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (n >= 1024 && at < units.length - 1) [n, at] = [n / 1024, at + 1];
  return `${digits(n)} ${units[at]}`;
}

const STEPS = [[60, "second"], [60, "minute"], [24, "hour"], [30.4, "day"], [12, "month"]];

/** Return how long ago a time in Unix seconds was. */
export function ago(seconds) {
  let past = seconds - Date.now() / 1000;
  for (const [size, unit] of STEPS) {
    if (Math.abs(past) < size) return formats.value.ago.format(Math.round(past), unit);
    past /= size;
  }
  return formats.value.ago.format(Math.round(past), "year");
}
