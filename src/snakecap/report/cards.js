/* Drawing. Text only ever enters the page through text nodes: nothing in a caption is markup. */

const PAGE = 48; /* cards drawn at a time, as the reader scrolls */
let drawn = 0;
let selected = -1; /* index into found */
let enlarged = -1; /* the one in the large view */

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/* Text with what was searched for marked. */
function marked(text, wanted) {
  const words = wanted.filter((term) => !term.not).map((term) => escaped(term.text));
  if (!words.length) return [text];
  const parts = text.split(new RegExp("(" + words.join("|") + ")", "giu"));
  return parts.map((part, at) => (at % 2 ? make("mark", {}, part) : part));
}

function image(picture) {
  const alt = picture.references[0] || picture.file || "picture " + picture.id;
  const node = make("img", { alt, loading: "lazy", decoding: "async", draggable: "false" });
  const sources = [];
  if (picture.src) sources.push(picture.src);
  if (picture.image !== undefined) sources.push(thumbnail(picture.image));
  const next = () => {
    const source = sources.shift();
    if (source === undefined) node.replaceWith(make("div", { class: "none" }, "no image"));
    else node.src = source;
  };
  node.addEventListener("error", next);
  if (!sources.length) return make("div", { class: "none" }, "no image");
  next();
  return node;
}

function systemName(at) {
  const system = shown.systems[at];
  const dot = make("span", { class: "dot", "aria-hidden": "true" });
  dot.style.background = system.colour || "currentColor";
  const several = new Set(shown.systems.map((other) => other.stage)).size > 1;
  const stage = several ? [make("span", { class: "stage" }, system.stage)] : [];
  const parts = system.system.split("_");
  const name = parts.flatMap((part, place) => (place ? ["_", make("wbr"), part] : [part]));
  return make("span", { class: "system", dir: "auto" }, dot, ...name, ...stage);
}

function captions(picture, wanted, inside) {
  const list = make("dl", { class: "captions" });
  const best = Math.max(...visible().map((at) => score(picture, at)).filter((v) => !isNaN(v)));
  for (const at of visible()) {
    const said = picture.captions[at];
    if (!said) continue;
    const value = score(picture, at);
    const numbers = make("span", { class: "numbers" });
    const name = make("dt", {}, systemName(at), numbers);
    name.hidden = shown.scored === false; /* one system, no scores: its name says nothing */
    const fact = (text) => inside && numbers.append(make("span", { class: "number" }, text));
    const layout = shown.systems[at].layout;
    if (layout !== undefined && shown.layouts.length > 1) fact("reads " + shown.layouts[layout]);
    if (looks(said)) fact("attention");
    if (said[2] !== null && said[2] !== undefined) fact("log p " + said[2].toFixed(2));
    if (!isNaN(value)) {
      const style = value === best && visible().length > 1 ? "score best" : "score";
      const title = "CIDEr of this caption" + (style === "score" ? "" : ", the best here");
      numbers.append(make("span", { class: style, title }, value.toFixed(2)));
    }
    /* What a search marked keeps its marks: these may span words. */
    const text = looks(said) && (inside || !wanted.length) ? [words(said, at, picture, inside)]
      : inside ? inside(said[0]) : marked(said[0], wanted);
    list.append(name, make("dd", { dir: "auto" }, ...(said[0] ? text : [make("em", {}, "(empty)")])));
  }
  return list;
}

function references(picture, wanted) {
  if (!picture.references.length) return [];
  const items = picture.references.map((text) =>
    make("li", { dir: "auto" }, ...marked(text, wanted)),
  );
  return [make("ul", { class: "references", "aria-label": "References" }, ...items)];
}

function card(at) {
  const picture = shown.pictures[found[at]];
  const wanted = terms(state.q);
  const frame = framed(picture, [320, 230]);
  const number = sortedBy(picture);
  if (number) frame.append(make("span", { class: "badge" }, number));
  const node = make("article", { role: "listitem", tabindex: "-1", "data-at": at });
  const file = make("h3", { dir: "auto" }, ...marked(picture.file || String(picture.id), wanted));
  node.append(frame, file, captions(picture, wanted), ...references(picture, wanted));
  node.addEventListener("click", () => {
    if (String(getSelection())) return; /* someone is copying text */
    select(at, false);
    enlarge();
  });
  node.addEventListener("focus", () => mark(at));
  return node;
}

function extend(until = drawn + PAGE) {
  const end = Math.min(found.length, until);
  const cards = [];
  for (; drawn < end; drawn++) cards.push(card(drawn));
  element("gallery").append(...cards);
}

function draw() {
  element("gallery").replaceChildren();
  drawn = 0;
  selected = -1;
  extend();
  const first = element("gallery").firstElementChild;
  if (first) first.tabIndex = 0;
  const [some, all] = [found.length.toLocaleString("en"), shown.pictures.length.toLocaleString("en")];
  element("count").textContent = some === all ? all + " pictures" : some + " of " + all + " pictures";
  const nothing = element("empty");
  nothing.hidden = found.length > 0;
  nothing.textContent = shown.pictures.length
    ? "No picture has all of these words."
    : "No pictures here yet: open a vis.json.";
}

/* Roving tabindex: Tab enters the gallery once, the arrows move inside. */
function mark(at) {
  const cards = element("gallery").children;
  for (const node of element("gallery").querySelectorAll('[tabindex="0"]')) node.tabIndex = -1;
  selected = at;
  if (cards[at]) cards[at].tabIndex = 0;
}

function select(at, focus = true) {
  if (!found.length) return;
  at = Math.max(0, Math.min(found.length - 1, at));
  if (at >= drawn) extend(at + PAGE);
  mark(at);
  const node = element("gallery").children[at];
  if (focus) node.focus({ preventScroll: true });
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  node.scrollIntoView({ block: "nearest", behavior: calm || !focus ? "auto" : "smooth" });
}

function across() {
  const cards = element("gallery").children;
  let count = 1;
  while (count < cards.length && cards[count].offsetTop === cards[0].offsetTop) count++;
  return count;
}

/* Words that no reference has are underlined, if there are references. */
function checked(picture) {
  const words = known(picture);
  if (!words.size) return (text) => [text];
  return (text) => {
    const parts = [];
    let end = 0;
    for (const match of text.matchAll(WORDS)) {
      if (words.has(match[0].toLowerCase())) continue;
      parts.push(text.slice(end, match.index));
      parts.push(make("u", { title: "in no reference" }, match[0]));
      end = match.index + match[0].length;
    }
    return [...parts, text.slice(end)];
  };
}

function enlarge() {
  if (selected < 0) return;
  enlarged = selected;
  const picture = shown.pictures[found[selected]];
  const dialog = element("large");
  element("large-title").textContent = picture.file || String(picture.id);
  element("place").textContent = selected + 1 + " / " + found.length;
  const inside = element("large-body").contains(document.activeElement);
  const frame = framed(picture, [620, 600]);
  const text = make("div", {}, captions(picture, [], checked(picture)));
  if (picture.references.length) {
    text.append(make("h3", {}, "References"), ...references(picture, terms(state.q)));
    text.append(make("p", { class: "note" }, "Underlined: a word that no reference has."));
  }
  if (visible().some((at) => looks(picture.captions[at]))) {
    text.append(make("p", { class: "note" }, "Attention: point at a word, or use Tab and the arrows."));
  }
  const objects = make("div", { class: "objects" });
  element("large-body").replaceChildren(make("div", {}, frame, objects), text);
  legend(objects, frame);
  if (inside) element("large-title").focus();
  element("previous").disabled = selected === 0;
  element("next").disabled = selected === found.length - 1;
  if (!dialog.open) dialog.showModal();
  state.open = String(picture.id);
  remember();
}
