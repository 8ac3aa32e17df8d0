/* The toolbar, and the address that remembers it. */

const controls = ["search", "sort", "system", "other", "order"].map(element);
const [search, sort, system, other, order] = controls;
const layoutLists = document.querySelectorAll(".layouts select");

function options() {
  const usable = shown.systems.length > 0 && shown.scored !== false;
  for (const list of [system, other]) {
    list.replaceChildren(...shown.systems.map((row, at) => make("option", { value: at }, row.label)));
  }
  for (const option of sort.options) {
    const needs = { score: 1, difference: 2, spread: 2 }[option.value] || 0;
    option.disabled = option.hidden = needs > 0 && (!usable || shown.systems.length < needs);
  }
  const choices = shown.systems.map((_, at) => {
    const box = make("input", { type: "checkbox", value: at });
    box.addEventListener("change", () => {
      if (box.checked) state.hidden.delete(at);
      else state.hidden.add(at);
      update();
    });
    return make("label", {}, box, systemName(at));
  });
  element("choices").replaceChildren(...choices);
  element("systems").hidden = shown.systems.length < 2;
  const names = shown.layouts || [];
  for (const node of document.querySelectorAll(".layouts")) node.hidden = !names.length;
  for (const list of layoutLists) {
    const none = make("option", { value: -1 }, "none");
    list.replaceChildren(...names.map((name, at) => make("option", { value: at }, name)), none);
  }
}

/* The controls show the state. */
function reflect() {
  search.value = state.q;
  sort.value = state.sort;
  system.value = state.system;
  other.value = state.other;
  element("of").hidden = !["score", "difference"].includes(state.sort);
  element("minus").hidden = state.sort !== "difference";
  element("minus").firstChild.textContent = "minus ";
  const words = { list: ["first to last", "last to first"], file: ["A to Z", "Z to A"] };
  const [up, down] = words[state.sort] || ["lowest first", "highest first"];
  order.textContent = (state.down ? "\u2193 " : "\u2191 ") + (state.down ? down : up);
  order.title = "Reverse the order";
  for (const list of layoutLists) list.value = state.layout;
  for (const box of element("choices").querySelectorAll("input")) {
    box.checked = !state.hidden.has(Number(box.value));
  }
}

const hiddenAtFirst = () =>
  new Set(shown.systems.flatMap((row, at) => (row.shown === false ? [at] : [])));

function same(a, b) {
  return a.size === b.size && [...a].every((item) => b.has(item));
}

function remember() {
  const words = new URLSearchParams();
  if (state.q) words.set("q", state.q);
  if (state.sort !== "list") words.set("sort", state.sort);
  const label = (at) => shown.systems[at].label;
  if (["score", "difference"].includes(state.sort)) words.set("of", label(state.system));
  if (state.sort === "difference") words.set("minus", label(state.other));
  if (state.down) words.set("order", "down");
  if (!same(state.hidden, hiddenAtFirst())) {
    for (const at of visible()) words.append("show", label(at));
    if (!visible().length) words.append("show", "");
  }
  if (state.layout && shown.layouts) words.set("layout", shown.layouts[state.layout] ?? "");
  if (state.open !== null) words.set("open", state.open);
  const hash = words.toString();
  if (hash === location.hash.slice(1)) return;
  try {
    history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
  } catch {
    /* Inside another page (Snakemake's report) the address is not ours to change. */
  }
}

function recall() {
  const words = new URLSearchParams(location.hash.slice(1));
  const at = (label, otherwise) => {
    const place = shown.systems.findIndex((row) => row.label === label);
    return place < 0 ? otherwise : place;
  };
  Object.assign(state, fresh());
  state.q = words.get("q") || "";
  const wanted = [...sort.options].find((o) => o.value === words.get("sort") && !o.disabled);
  state.sort = wanted ? wanted.value : "list";
  state.system = at(words.get("of"), 0);
  state.other = at(words.get("minus"), Math.min(1, Math.max(0, shown.systems.length - 1)));
  state.down = words.get("order") === "down";
  state.hidden = hiddenAtFirst();
  if (words.has("show")) {
    const labels = new Set(words.getAll("show"));
    state.hidden = new Set(
      shown.systems.flatMap((row, place) => (labels.has(row.label) ? [] : [place])),
    );
  }
  const named = (shown.layouts || []).indexOf(words.get("layout"));
  state.layout = words.get("layout") === "" ? -1 : Math.max(0, named);
  state.open = words.get("open");
}

function update() {
  reflect();
  find();
  draw();
  remember();
}

/* Everything from the address: at the start, and when someone edits it. */
function restore() {
  recall();
  update();
  if (state.open === null) return;
  const at = found.findIndex((place) => String(shown.pictures[place].id) === state.open);
  state.open = null;
  if (at < 0) return remember();
  select(at, false);
  enlarge();
}

/* Another layout, or -1; nothing else is drawn again, so that the reader stays where they are. */
function lay(at) {
  if (at >= 0) state.before = at;
  state.layout = at;
  reflect();
  for (const frame of document.querySelectorAll(".frame")) fill(frame);
  const open = document.querySelector("#large-body .frame");
  if (open) legend(open.nextElementSibling, open);
  element("spoken").textContent = "Layout: " + (shown.layouts[at] ?? "none");
  remember();
}

let waiting = 0;
search.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    state.q = search.value;
    update();
  }, 80);
});
sort.addEventListener("change", () => {
  state.sort = sort.value;
  /* What disagrees most, or gained most, is what one wants to see first. */
  state.down = state.sort === "spread" || state.sort === "difference";
  if (state.system === state.other) state.other = state.system ? 0 : 1;
  update();
});
for (const [list, key] of [[system, "system"], [other, "other"]]) {
  list.addEventListener("change", () => {
    state[key] = Number(list.value);
    update();
  });
}
for (const list of layoutLists) {
  list.addEventListener("change", () => lay(Number(list.value)));
}
order.addEventListener("click", () => {
  state.down = !state.down;
  update();
});
addEventListener("hashchange", () => {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  restore();
});
new IntersectionObserver(
  (seen) => {
    if (seen.some((entry) => entry.isIntersecting) && drawn < found.length) extend();
  },
  { rootMargin: "1200px" },
).observe(element("more"));
