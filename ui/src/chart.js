// A line chart over time.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { html } from "./components.js";
import { language } from "./i18n.js";
import { colour, theme } from "./theme.js";

const HEIGHT = 170;
// Range in seconds of an axis that has one time or none.
const SPAN = 60;

/** Return the range of the times: from one time alone, uPlot would make years. */
const span = (_, first, last) => (first === null || first === last ? [(last ?? Date.now() / 1000) - SPAN, last ?? Date.now() / 1000] : [first, last]);

/** Draw `series` ([name, colour, values]) over `times` (Unix s); `format` makes texts of values. */
export function Chart({ label, times, series, format }) {
  const place = useRef();
  const plot = useRef();
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const width = () => Math.max(element.clientWidth, 120);
    const grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: colour("--muted"), grid, ticks: { show: false }, font: "11px system-ui" };
    plot.current = new uPlot(
      {
        width: width(), height: HEIGHT, legend: { show: false }, cursor: { y: false, drag: { setScale: false } },
        scales: { x: { range: span }, y: { range: (_, __, high) => [0, high > 0 ? high * 1.1 : 1] } },
        axes: [{ ...axis, space: 90 }, { ...axis, size: 62, values: (_, ticks) => ticks.map(format) }],
        series: [{}, ...series.map(([, name]) => ({ stroke: colour(name), fill: colour(name).replace("rgb(", "rgba(").replace(")", ", 0.1)"), width: 2, points: { show: false } }))],
      },
      [[], ...series.map(() => [])],
      element,
    );
    const watcher = new ResizeObserver(() => plot.current.setSize({ width: width(), height: HEIGHT }));
    watcher.observe(element);
    return () => (watcher.disconnect(), plot.current.destroy(), (plot.current = null));
  }, [theme.value, language.value]);
  useEffect(() => plot.current?.setData([times, ...series.map((one) => one[2])]), [times, theme.value, language.value]);
  const last = series.map(([name, , values]) => `${name} ${format(values.at(-1))}`).join(", ");
  return html`<div class="chart"><ul class="legend">${series.map(([name, tone, values]) =>
    html`<li><i class="dot" style=${{ background: `var(${tone})` }} aria-hidden="true"></i>${name} <b>${format(values.at(-1))}</b></li>`)}</ul>
    <div ref=${place} role="img" aria-label=${`${label}: ${last}`}></div></div>`;
}
