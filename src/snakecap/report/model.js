"use strict";
/* The data and what is asked of it: which pictures, in which order. Nothing here draws. */

const element = (id) => document.getElementById(id);
const report = JSON.parse(element("data").textContent);
let shown = report; /* the report, or an opened vis.json in the same shape */
let found = []; /* indices into shown.pictures, filtered and sorted */
const state = fresh();

function fresh() {
  return {
    q: "", sort: "list", system: 0, other: 1, down: false, hidden: new Set(), open: null,
    layout: 0, before: 0, /* -1: none; `before` is what the key l brings back */
  };
}

/* One text block of base64, a line a picture: no JSON parser has to walk through it. */
let lines = null;
function thumbnail(at) {
  if (lines === null) lines = element("thumbnails").textContent.split("\n");
  return "data:image/jpeg;base64," + lines[at];
}

const visible = () => shown.systems.map((_, at) => at).filter((at) => !state.hidden.has(at));
const caption = (picture, system) => (picture.captions[system] || [""])[0];

function score(picture, system) {
  const said = picture.captions[system];
  return said && said[1] !== null && said[1] !== undefined ? said[1] : NaN;
}

function spread(picture) {
  const values = visible().map((at) => score(picture, at)).filter((value) => !isNaN(value));
  return values.length > 1 ? Math.max(...values) - Math.min(...values) : NaN;
}

/* -word and "two words": [{text, not}], lower case. */
function terms(query) {
  const list = [];
  for (const part of query.toLowerCase().matchAll(/(-?)(?:"([^"]*)"?|(\S+))/g)) {
    const text = part[2] ?? part[3];
    if (text && text !== "-") list.push({ text, not: part[1] === "-" });
  }
  return list;
}

function haystack(picture) {
  const captions = visible().map((at) => caption(picture, at));
  return [picture.file, ...picture.references, ...captions].join("\n").toLowerCase();
}

function matches(picture, wanted) {
  if (!wanted.length) return true;
  const text = haystack(picture);
  return wanted.every((term) => text.includes(term.text) !== term.not);
}

function measure() {
  const { system, other } = state;
  if (state.sort === "score") return (picture) => score(picture, system);
  if (state.sort === "difference") {
    return (picture) => score(picture, system) - score(picture, other);
  }
  return spread;
}

const collator = new Intl.Collator("en", { numeric: true });

/* Fills `found`. Pictures without the number come last in either direction. */
function find() {
  const { pictures } = shown;
  const wanted = terms(state.q);
  found = pictures.map((_, at) => at).filter((at) => matches(pictures[at], wanted));
  const sign = state.down ? -1 : 1;
  if (state.sort === "list") {
    if (state.down) found.reverse();
    return;
  }
  if (state.sort === "file") {
    found.sort((a, b) => sign * collator.compare(pictures[a].file, pictures[b].file) || a - b);
    return;
  }
  const of = measure();
  const value = new Map(found.map((at) => [at, of(pictures[at])]));
  found.sort((a, b) => {
    const [x, y] = [value.get(a), value.get(b)];
    if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y) || a - b;
    return sign * (x - y) || a - b;
  });
}

/* The number that the pictures are sorted by, for people; "" when it is on the card anyway. */
function sortedBy(picture) {
  if (state.sort !== "difference" && state.sort !== "spread") return "";
  const value = measure()(picture);
  if (isNaN(value)) return "";
  const sign = state.sort === "difference" && value >= 0 ? "+" : "";
  return sign + value.toFixed(3);
}

/* Words of a caption that no reference has: what the system may have made up. */
const WORDS = /[\p{L}\p{N}']+/gu;
function known(picture) {
  return new Set(picture.references.join(" ").toLowerCase().match(WORDS) || []);
}
