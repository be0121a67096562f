// Samples of /metrics, polled while the page is visible, and what changed between them.
import { signal } from "@preact/signals";
import { getText } from "./api.js";

const EVERY_MS = 2000;
const MAX_SAMPLES = 300;
const LINE = /^(\w+)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** Samples, oldest first: {time (s), values: name -> [{labels, value}]}. */
export const samples = signal([]);
export const failure = signal(null);
let timer = null;

/** Parse Prometheus' text format. */
export function parse(text) {
  const values = new Map();
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (!found) continue;
    const [, name, inside, value] = found;
    const labels = Object.fromEntries([...(inside ?? "").matchAll(LABEL)].map((one) => [one[1], one[2].replace(/\\(.)/g, "$1")]));
    if (!values.has(name)) values.set(name, []);
    values.get(name).push({ labels, value: value === "+Inf" ? Infinity : Number(value) });
  }
  return values;
}

async function sample() {
  if (document.hidden) return;
  try {
    const values = parse(await getText("metrics"));
    samples.value = [...samples.value, { time: Date.now() / 1000, values }].slice(-MAX_SAMPLES);
    failure.value = null;
  } catch (error) {
    failure.value = error;
  }
}

/** Poll until the returned function is called. */
export function watch() {
  sample();
  timer ??= setInterval(sample, EVERY_MS);
  return () => {
    clearInterval(timer);
    timer = null;
  };
}

export const sum = (sampled, name, fits = () => true) =>
  (sampled?.values.get(name) ?? []).filter((one) => fits(one.labels)).reduce((total, one) => total + one.value, 0);

export const valueOf = (sampled, name) => sampled?.values.get(name)?.[0]?.value;

/** Increase of a counter a second between two samples; 0 after a restart of the server. */
export const rate = (before, after, name, fits) =>
  Math.max(0, sum(after, name, fits) - sum(before, name, fits)) / Math.max(after.time - before.time, 0.001);

/** Quantile of durations between two samples (the whole time if `before` is null), from the histogram; NaN without any. */
export function quantile(before, after, q, fits = () => true) {
  const name = "nearline_request_seconds_bucket";
  const counts = new Map();
  for (const [sampled, sign] of [[after, 1], [before, -1]])
    for (const { labels, value } of sampled?.values.get(name) ?? [])
      if (fits(labels)) {
        const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
        counts.set(bound, (counts.get(bound) ?? 0) + sign * value);
      }
  const bounds = [...counts].sort((a, b) => a[0] - b[0]);
  const wanted = q * (bounds.at(-1)?.[1] ?? 0);
  if (!wanted) return NaN;
  let [low, below] = [0, 0];
  for (const [bound, count] of bounds) {
    if (count >= wanted) return bound === Infinity ? low : low + ((bound - low) * (wanted - below)) / (count - below);
    [low, below] = [bound, count];
  }
  return low;
}

export const isList = ({ route }) => /recommendations|similar|rank|popular|trending|search/.test(route);
