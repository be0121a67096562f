// A graph of items, laid out by forces and drawn once: no animation, the same picture each time.
import { forceCollide, forceLink, forceManyBody, forceSimulation, forceX, forceY } from "d3-force";
import { useMemo, useRef } from "preact/hooks";
import { colourOf, html, relationName } from "./components.js";
import { score, t } from "./i18n.js";

// The size of a phone, on which the texts of a wide picture would be too small.
const NARROW = innerWidth <= 720;
const WIDTH = NARROW ? 400 : 760;
const HEIGHT = 460;
const EDGE = 34;
const STEPS = 240;
const TITLE_CHARS = NARROW ? 15 : 22;

/** Place nodes; those that had a place stay close to it. */
function layout(ids, edges, root, old) {
  const nodes = ids.map((id, at) => {
    const place = old.get(id);
    const angle = (2 * Math.PI * at) / Math.max(ids.length, 1);
    return { id, x: place?.x ?? WIDTH / 2 + 150 * Math.cos(angle), y: place?.y ?? HEIGHT / 2 + 110 * Math.sin(angle) };
  });
  if (nodes.length) Object.assign(nodes.find((node) => node.id === root) ?? {}, old.has(root) ? {} : { x: WIDTH / 2, y: HEIGHT / 2 });
  forceSimulation(nodes)
    .force("link", forceLink(edges.map(({ source, target }) => ({ source, target }))).id((node) => node.id).distance(NARROW ? 90 : ids.length > 12 ? 110 : 170).strength(0.6))
    .force("charge", forceManyBody().strength(-620))
    .force("collide", forceCollide(36))
    .force("x", forceX(WIDTH / 2).strength(0.06))
    .force("y", forceY(HEIGHT / 2).strength(0.13))
    .stop()
    .tick(STEPS);
  // Fit the picture, whatever its size became.
  const span = (axis, size) => {
    const values = nodes.map((node) => node[axis]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const scale = Math.min(1.7, (size - 2 * EDGE - (axis === "x" ? 60 : 0)) / Math.max(high - low, 1));
    for (const node of nodes) node[axis] = size / 2 + (node[axis] - (low + high) / 2) * scale;
  };
  span("x", WIDTH);
  span("y", HEIGHT);
  return new Map(nodes.map(({ id, x, y }) => [id, { x, y }]));
}

const short = (text) => (text.length > TITLE_CHARS ? text.slice(0, TITLE_CHARS - 1) + "…" : text);

export function Graph({ root, ids, edges, entries, opened, selected, onOpen }) {
  const places = useRef(new Map());
  const at = useMemo(() => (places.current = layout(ids, edges, root, places.current)), [ids.join("\u0000")]);
  const most = Math.max(...edges.map((edge) => edge.amount), 1e-9);
  const press = (id) => (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      onOpen(id);
    }
  };
  return html`<div class="graph"><svg viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="group" aria-label=${t("graph.label")}>
    ${edges.map(({ source, target, amount, relation }) => {
      const [a, b] = [at.get(source), at.get(target)];
      return html`<g class=${"edge " + colourOf(relation)} key=${`${source}\u0000${target}`}><title>${`${relationName(relation)} ${score(amount)}`}</title>
        <line x1=${a.x} y1=${a.y} x2=${b.x} y2=${b.y} stroke-width=${1 + (4 * amount) / most} />
        ${source === selected && html`<text x=${a.x + (b.x - a.x) * 0.6} y=${a.y + (b.y - a.y) * 0.6} dy="4">${score(amount)}</text>`}</g>`;
    })}
    ${ids.map((id) => {
      const { x, y } = at.get(id);
      const title = entries.get(id)?.title || id;
      const state = [id === root && "root", id === selected && "selected", opened.has(id) && "opened"].filter(Boolean).join(" ");
      return html`<g class=${"node " + state} key=${id} transform=${`translate(${x},${y})`} role="button" tabindex="0"
        aria-pressed=${id === selected} onClick=${() => onOpen(id)} onKeyDown=${press(id)}><title>${title}</title>
        <circle r=${id === root ? 13 : 9} /><text dy=${id === root ? 28 : 23}>${short(title)}</text></g>`;
    })}</svg></div>`;
}
