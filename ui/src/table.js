// Tables of text files: read them, recognise their columns, turn rows into events or items.

export const MAX_BYTES = 64 * 2 ** 20;
const SEPARATORS = ["\t", ",", ";", "|"];
const MAX_PROBLEMS = 20;
const LISTS = /[|;]/;

export const FIELDS = {
  events: ["user_id", "item_id", "timestamp", "event", "value"],
  items: ["item_id", "title", "text", "categories"],
};
const NEEDED = { events: ["user_id", "item_id"], items: ["item_id"] };
const NAMES = {
  user_id: /^(user|user_?id|uid|customer(_?id)?|visitor_?id|session_?id|reviewerid)$/,
  item_id: /^(item|item_?id|iid|product(_?id)?|movie_?id|article_?id|asin|sku)$/,
  timestamp: /^(timestamp|time|date|ts|when|created(_at)?|unixreviewtime)$/,
  event: /^(event|event_?type|action|kind|type)$/,
  value: /^(value|rating|score|stars|overall)$/,
  title: /^(title|name|movie_title)$/,
  text: /^(text|description|body|summary|content)$/,
  categories: /^(categor(y|ies)|class|genres?|tags?|department)$/,
};

/** Parse a table with a header: RFC 4180, or JSON lines. Return {header, rows}; a row has its line number. */
export function parseTable(text, name = "") {
  if (text.startsWith("\ufeff")) text = text.slice(1);
  if (/\.(jsonl|ndjson|json)$/i.test(name) || text.trimStart().startsWith("{")) return parseLines(text);
  const first = text.slice(0, text.search(/\r?\n|$/));
  const separator = SEPARATORS.reduce((best, one) => (first.split(one).length > first.split(best).length ? one : best), ",");
  const rows = parseSeparated(text, separator);
  const header = (rows.shift()?.cells ?? []).map((cell) => cell.trim().replace(/:(token|float|token_seq|float_seq)$/, ""));
  return { header, rows };
}

function parseSeparated(text, separator) {
  const rows = [];
  let [cells, cell, quoted, line, begun] = [[], "", false, 1, 1];
  const end = () => {
    cells.push(cell);
    if (cells.length > 1 || cell.trim()) rows.push({ line: begun, cells });
    [cells, cell, begun] = [[], "", line];
  };
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === "\n") line++;
    if (quoted) {
      if (char !== '"') cell += char;
      else if (text[at + 1] === '"') [cell, at] = [cell + '"', at + 1];
      else quoted = false;
    } else if (char === '"' && cell === "") quoted = true;
    else if (char === separator) {
      cells.push(cell);
      cell = "";
    } else if (char === "\n") end();
    else if (char !== "\r") cell += char;
  }
  if (cell || cells.length) end();
  return rows;
}

function parseLines(text) {
  const header = [];
  const rows = [];
  text.split("\n").forEach((source, at) => {
    if (!source.trim()) return;
    let value = null;
    try {
      value = JSON.parse(source);
    } catch {
      // Reported below as a row without cells.
    }
    const cells = [];
    if (value && typeof value === "object")
      for (const [name, one] of Object.entries(value)) {
        if (!header.includes(name)) header.push(name);
        cells[header.indexOf(name)] = Array.isArray(one) ? one.join("|") : String(one ?? "");
      }
    rows.push({ line: at + 1, cells });
  });
  return { header, rows };
}

/** Guess which column each field is; -1 where no name fits. */
export function guessColumns(header, kind) {
  return Object.fromEntries(FIELDS[kind].map((field) => [field, header.findIndex((name) => NAMES[field].test(name.toLowerCase()))]));
}

/** Guess whether a table has events or items. */
export const guessKind = (header) => (header.some((name) => NAMES.user_id.test(name.toLowerCase())) ? "events" : "items");

/** Time as the API takes it: Unix seconds, also from milliseconds and microseconds, or text. */
function timeOf(text) {
  if (!/^-?\d+(\.\d+)?$/.test(text)) return Number.isNaN(Date.parse(text)) ? undefined : text.includes("T") ? text : new Date(Date.parse(text)).toISOString();
  let number = Number(text);
  while (number > 1e11) number /= 1000;
  return number >= 631152000 && number < Date.now() / 1000 + 86400 ? number : undefined;
}

/** Return what would be stored, and a summary: good and bad rows, users, items, kinds and times. */
export function readRows({ header, rows }, kind, columns, tag) {
  const good = [];
  const problems = [];
  let bad = 0;
  const users = new Set();
  const items = new Set();
  const kinds = new Map();
  let [from, until] = [Infinity, -Infinity];
  const refuse = (line, reason, field = "") => {
    bad++;
    if (problems.length < MAX_PROBLEMS) problems.push({ line, reason, field });
  };
  for (const { line, cells } of rows) {
    const cell = (field) => (columns[field] >= 0 ? (cells[columns[field]] ?? "").trim() : "");
    const missing = NEEDED[kind].find((field) => !cell(field));
    if (missing) {
      refuse(line, "missing", missing);
      continue;
    }
    const record = kind === "events" ? eventOf(cell, `${tag}-${line}`) : itemOf(cell, header, cells, columns);
    if (record.problem) {
      refuse(line, record.problem, record.field);
      continue;
    }
    good.push(record);
    items.add(record.item_id);
    if (kind === "events") {
      users.add(record.user_id);
      kinds.set(record.event ?? "view", (kinds.get(record.event ?? "view") ?? 0) + 1);
      const seconds = typeof record.timestamp === "string" ? Date.parse(record.timestamp) / 1000 : record.timestamp;
      if (seconds) [from, until] = [Math.min(from, seconds), Math.max(until, seconds)];
    }
  }
  return { good, problems, bad, users: users.size, items: items.size, kinds: [...kinds].sort((a, b) => b[1] - a[1]), from, until };
}

function eventOf(cell, id) {
  const event = { user_id: cell("user_id"), item_id: cell("item_id"), event_id: id };
  if (cell("event")) event.event = cell("event");
  if (cell("timestamp")) {
    event.timestamp = timeOf(cell("timestamp"));
    if (event.timestamp === undefined) return { problem: "time", field: "timestamp" };
  }
  if (cell("value")) {
    event.value = Number(cell("value").replace(",", "."));
    if (!Number.isFinite(event.value)) return { problem: "number", field: "value" };
    if (!event.event) event.event = "rating";
  }
  return event;
}

function itemOf(cell, header, cells, columns) {
  const mapped = new Set(Object.values(columns));
  const item = { item_id: cell("item_id"), title: cell("title"), text: cell("text"), attributes: {} };
  item.categories = cell("categories").split(LISTS).map((name) => name.trim()).filter(Boolean);
  header.forEach((name, at) => {
    const value = (cells[at] ?? "").trim();
    if (!mapped.has(at) && name && value) item.attributes[name] = /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
  });
  return item;
}

/** A short name of the content of a file, so that its rows keep their IDs when it is imported again. */
export function tagOf(text) {
  let [a, b] = [0xdeadbeef, 0x41c6ce57];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  return (a >>> 0).toString(16).padStart(8, "0") + (b >>> 0).toString(16).padStart(8, "0");
}
