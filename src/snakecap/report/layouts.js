/* Objects: boxes over a picture, and how much a caption's words look at each of them. */

const SVG = "http://www.w3.org/2000/svg";
const SLIGHT = 5; /* percent of attention below which an object's label stays away */

function shape(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const category = (object) => shown.categories[object[0]][0];

/* [category's place, its objects' places], the most frequent first. */
function counted(objects) {
  const groups = new Map();
  objects.forEach((object, at) => groups.set(object[0], [...(groups.get(object[0]) || []), at]));
  return [...groups].sort((a, b) => b[1].length - a[1].length);
}

function summary(objects, name) {
  const groups = counted(objects).map(([place, all]) => all.length + " " + shown.categories[place][0]);
  return "Layout " + name + ": " + (groups.join(", ") || "no objects");
}

const TALL = 16; /* pixels of a label */
const pen = document.createElement("canvas").getContext("2d");
pen.font = "600 11px " + getComputedStyle(document.body).fontFamily;
const widths = new Map();

/* Pixels that a label takes. */
function long(text) {
  if (!widths.has(text)) widths.set(text, Math.ceil(pen.measureText(text).width) + 8);
  return widths.get(text);
}

/* Where a label goes, on a picture of about `wide` x `tall` pixels: [left, top, right, bottom]. */
function labelBox([, x, y], text, wide, tall) {
  const left = Math.max(0, Math.min((x / 1000) * wide, wide - long(text)));
  const top = Math.max(0, Math.min((y / 1000) * tall, tall - TALL));
  return [left, top, left + long(text), top + TALL];
}

function labelled([left, top], at, [text, colour, ink]) {
  const letters = shape("text", { x: 4, y: 12, fill: ink }, text);
  letters.style.font = pen.font;
  const back = shape("rect", { width: long(text), height: TALL, rx: 3 });
  const node = shape("svg", { class: "label", x: left + "%", y: top + "%", "data-label": at }, back, letters);
  node.style.setProperty("--colour", colour);
  node.left = left;
  return node;
}

/* Another text, inside a picture of `wide` pixels. */
function relabel(node, text, wide) {
  node.lastChild.textContent = text;
  node.firstChild.setAttribute("width", long(text));
  node.setAttribute("x", Math.max(0, Math.min(node.left, 100 - (100 * long(text)) / wide)) + "%");
}

const apart = (a, b) => a[2] < b[0] || b[2] < a[0] || a[3] < b[1] || b[3] < a[1];

/* Boxes from large to small, so that each can be pointed at; then the labels. Only where there is
   room is a label always there; the others appear when asked for. */
function drawing(picture, which, [wide, tall]) {
  const objects = picture.layouts[which];
  const label = summary(objects, shown.layouts[which]);
  const svg = shape("svg", { class: "layout", role: "img", "aria-label": label, "data-which": which });
  svg.style.setProperty("--ratio", picture.ratio);
  svg.classList.toggle("plain", picture.image === undefined && !picture.src);
  const high = Math.min(wide / picture.ratio, tall);
  const broad = high * picture.ratio;
  const order = [...objects.keys()].sort(
    (a, b) => objects[b][3] * objects[b][4] - objects[a][3] * objects[a][4],
  );
  const taken = [];
  const labels = [];
  for (const at of order) {
    const [place, x, y, width, height, score] = objects[at];
    const [text, colour] = shown.categories[place];
    const title = shape("title", {}, text + (score < 100 ? " " + score + " %" : ""));
    const percent = { x: x / 10 + "%", y: y / 10 + "%", width: width / 10 + "%", height: height / 10 + "%" };
    const box = shape("rect", { ...percent, "data-object": at }, title);
    box.style.setProperty("--colour", colour);
    svg.append(box);
    const room = labelBox(objects[at], text, broad, high);
    const free = taken.every((other) => apart(room, other));
    if (free) taken.push(room);
    const corner = [(100 * room[0]) / broad, (100 * room[1]) / high];
    labels.push(labelled(corner, at, shown.categories[place]));
    labels[labels.length - 1].classList.toggle("free", free);
  }
  svg.append(...labels);
  return svg;
}

/* A picture's frame with a layout over it. `weights`: percent by object, for what is asked;
   `letters`: of the grid, which `covers` so much of the picture. */
function fill(frame, which = state.layout, weights = null, numbers = false, letters = "", covers = 1) {
  veil(frame, letters, covers);
  let svg = frame.querySelector(".layout");
  if (svg && Number(svg.dataset.which) !== which) {
    svg.remove();
    svg = null;
  }
  if (!svg && frame.picture.layouts && frame.picture.layouts[which]) {
    svg = drawing(frame.picture, which, frame.room);
    frame.append(svg);
  }
  if (svg) weigh(svg, frame.picture.layouts[which], weights, numbers);
  frame.dataset.elsewhere = numbers && weights.has(-1) ? "elsewhere " + weights.get(-1) + " %" : "";
}

/* `room`: about how many pixels wide and high the frame will be. */
function framed(picture, room) {
  const frame = make("div", { class: "frame" }, image(picture));
  Object.assign(frame, { picture, room });
  fill(frame);
  return frame;
}

function weigh(svg, objects, weights, numbers) {
  svg.classList.toggle("asked", weights !== null);
  const least = weights && Math.min(SLIGHT, Math.max(1, ...weights.values()));
  const wide = numbers ? svg.getBoundingClientRect().width : Infinity;
  const alone = weights && weights.size === 1; /* a category's name needs no repeating */
  for (const node of svg.children) {
    const at = node.dataset.object ?? node.dataset.label;
    const percent = weights ? weights.get(Number(at)) || 0 : 0;
    node.style.setProperty("--share", Math.sqrt(percent / 100)); /* 5 % must be seen, too */
    if (node.localName === "rect") continue;
    node.classList.toggle("looked", weights !== null && (numbers || alone) && percent >= least);
    relabel(node, category(objects[at]) + (numbers ? " " + percent + " %" : ""), wide);
  }
  if (!numbers) return;
  /* Labels may lie on one another: the strongest on top. */
  const share = (node) => weights.get(Number(node.dataset.label)) || 0;
  svg.append(...[...svg.querySelectorAll(".label")].sort((a, b) => share(a) - share(b)));
}

/* Attention of a word: [object, percent, object, percent, ...] as a map. */
function pairs(flat) {
  const map = new Map();
  for (let at = 0; at < flat.length; at += 2) map.set(flat[at], flat[at + 1]);
  return map;
}

/* What a word looks at, in words, for its tooltip and for screen readers. */
function sentence(weights, objects) {
  const most = [...weights].sort((a, b) => b[1] - a[1]).slice(0, 5);
  const name = (at) => (at < 0 ? "elsewhere" : category(objects[at]));
  return most.map(([at, percent]) => name(at) + " " + percent + " %").join(", ");
}

/* Whether there is something that the words of a caption look at. */
const looks = (said) => Boolean(said && said[3] && (said[3].objects || said[3].grid));

/* A caption word by word; in the large view they are buttons, and Tab stops once a caption. */
function words([text, , , { objects: rows, grid }], at, picture, inside) {
  const group = make("span", { class: "words" });
  const seen = (place) =>
    [
      rows && sentence(pairs(rows[place]), picture.layouts[shown.systems[at].layout]),
      grid && spot(grid[place]),
    ].filter(Boolean).join("; ");
  if (inside) {
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "Words and what they look at");
  }
  text.split(" ").forEach((word, place) => {
    const where = { class: "word", "data-system": at, "data-word": place };
    const node = inside
      ? make("button", { ...where, type: "button", tabindex: place ? -1 : 0 }, ...inside(word))
      : make("span", where, word);
    if (inside) node.title = seen(place);
    group.append(...(place ? [" "] : []), node);
  });
  return group;
}

/* The categories of the layout that is shown, to point at. */
function legend(node, frame) {
  const objects = frame.picture.layouts && frame.picture.layouts[state.layout];
  node.replaceChildren();
  if (!objects) return;
  const group = make("span", { class: "words", role: "group", "aria-label": "Objects" });
  counted(objects).forEach(([place, all], at) => {
    const [name, colour] = shown.categories[place];
    const dot = make("span", { class: "dot", "aria-hidden": "true" });
    dot.style.background = colour;
    const many = all.length > 1 ? [" \u00d7 " + all.length] : [];
    const where = { class: "word", type: "button", "data-category": place, tabindex: at ? -1 : 0 };
    group.append(make("button", where, dot, name, ...many));
  });
  node.append(objects.length ? group : "No objects.");
}

/* The frame, layout and weights that something on the page asks for: a box, a category, a word. */
function ask(node) {
  const one = node && node.closest && node.closest("[data-object], [data-category], [data-word]");
  const frame = one && one.closest("article, #large-body").querySelector(".frame");
  if (!frame) return null;
  const { object, category: place, system, word } = one.dataset;
  if (word !== undefined) {
    const { objects: rows, grid } = frame.picture.captions[system][3];
    const { layout, covers } = shown.systems[system];
    const boxes = rows ? [layout, pairs(rows[word]), true] : [-1, null, false];
    return [frame, ...boxes, ...(grid ? [grid[word][1], covers] : [])];
  }
  const svg = frame.querySelector(".layout");
  if (!svg) return null;
  const which = Number(svg.dataset.which);
  if (object !== undefined) return [frame, which, new Map([[Number(object), 100]]), false];
  const all = frame.picture.layouts[which].map((row, at) => [row[0], at]);
  const same = all.filter(([other]) => other === Number(place)).map(([, at]) => [at, 100]);
  return [frame, which, new Map(same), false];
}

let answered = null;
function answer(node) {
  const found = ask(node) || ask(document.activeElement);
  if (answered && (!found || found[0] !== answered)) fill(answered);
  answered = found && found[0];
  if (found) fill(...found);
}
addEventListener("pointerover", (event) => answer(event.target));
addEventListener("focusin", (event) => answer(event.target));
addEventListener("focusout", () => answer(null));
document.documentElement.addEventListener("pointerleave", () => answer(null));

/* Arrows among the words of one caption; whether the key was one. */
function among(node, key) {
  const group = node.closest(".words");
  if (!group) return false;
  const all = [...group.querySelectorAll(".word")];
  const at = all.indexOf(node);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[key];
  if (to === undefined) return false;
  if (all[to]) {
    node.tabIndex = -1;
    all[to].tabIndex = 0;
    all[to].focus();
  }
  return true;
}
