/* The keyboard, the dialogs, and the start. */

const large = element("large");
const help = element("help");

function step(by) {
  select(selected + by, !large.open);
  if (large.open) enlarge();
}

const moves = {
  j: () => step(1),
  k: () => step(-1),
  ArrowRight: () => step(1),
  ArrowLeft: () => step(-1),
  ArrowDown: () => step(large.open ? 1 : across()),
  ArrowUp: () => step(large.open ? -1 : -across()),
  Home: () => step(-found.length),
  End: () => step(found.length),
  l: () => shown.layouts && lay(state.layout < 0 ? state.before : -1),
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  const { key, target } = event;
  if (target === search) {
    if (key === "Escape" || key === "Enter" || key === "ArrowDown") {
      event.preventDefault();
      if (key === "Escape") {
        state.q = "";
        update();
        search.blur();
      } else select(0);
    }
    return;
  }
  if (target.closest("input, select, textarea")) return;
  if (key === "/" && !large.open) {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (key === "?") {
    event.preventDefault();
    if (!large.open) help.showModal();
  } else if (key === "Enter" && target.closest("article") && !large.open) {
    event.preventDefault();
    enlarge();
  } else if (among(target, key)) {
    event.preventDefault();
  } else if (key in moves) {
    /* Until a picture is chosen, the arrows scroll the page as anywhere else. */
    const inside = large.open || target.closest("#gallery");
    if (!inside && !"jkl".includes(key)) return;
    event.preventDefault();
    moves[key]();
  }
});

large.addEventListener("close", () => {
  state.open = null;
  remember();
  /* Closing gave the focus back to the card that had it; the reader has moved on since. */
  if (enlarged >= 0) select(enlarged);
});
element("previous").addEventListener("click", () => step(-1));
element("next").addEventListener("click", () => step(1));
element("about").addEventListener("click", () => help.showModal());
for (const dialog of [large, help]) {
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); /* outside the box */
  });
}
const seeds = element("seeds");
if (seeds) {
  seeds.addEventListener("change", () => document.body.classList.toggle("seeds", seeds.checked));
}
const menu = element("systems");
menu.addEventListener("toggle", () => {
  menu.classList.remove("left");
  const right = element("choices").getBoundingClientRect().right;
  menu.classList.toggle("left", right > document.documentElement.clientWidth);
});
addEventListener("click", (event) => {
  if (menu.open && !menu.contains(event.target)) menu.open = false;
});

options();
restore();
const asked = new URLSearchParams(location.search).get("vis");
if (asked) openAddress(asked);
