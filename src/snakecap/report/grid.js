/* A picture's grid: what a word does not look at is dark. */

const LEVELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const DARK = 0.8; /* what covers a cell that is not looked at */
const FINE = 224; /* pixels of the veil, which the browser stretches over the picture */

const shares = (letters) => [...letters].map((letter) => LEVELS.indexOf(letter) / 63);

/* A canvas of the cells themselves, a pixel each. */
function coarse(letters) {
  const side = Math.sqrt(letters.length);
  const canvas = make("canvas", { width: side, height: side });
  const pixels = new ImageData(side, side);
  shares(letters).forEach((share, at) => (pixels.data[4 * at + 3] = 255 * DARK * (1 - share)));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

/* Over the picture of a frame, or away when nothing is asked. `covers`: of the picture's sides. */
function veil(frame, letters, covers) {
  frame.querySelector(".veil")?.remove();
  if (!letters) return;
  const canvas = make("canvas", { class: "veil", width: FINE, height: FINE, "aria-hidden": "true" });
  canvas.style.setProperty("--ratio", frame.picture.ratio);
  const brush = canvas.getContext("2d");
  const inside = FINE * covers;
  const edge = (FINE - inside) / 2;
  brush.fillStyle = "rgb(0 0 0 / " + DARK + ")";
  brush.fillRect(0, 0, FINE, FINE);
  brush.clearRect(edge, edge, inside, inside);
  brush.drawImage(coarse(letters), edge, edge, inside, inside);
  frame.firstElementChild.after(canvas); /* boxes stay above */
}

/* Where a word looks most, in words. */
function spot([percent, letters]) {
  const all = shares(letters);
  const most = Math.max(...all);
  const at = all.indexOf(most);
  const side = Math.sqrt(all.length);
  const third = (place) => Math.min(2, Math.floor((3 * (place + 0.5)) / side));
  const [row, column] = [third(Math.floor(at / side)), third(at % side)];
  const where = ["upper", "middle", "lower"][row] + " " + ["left", "centre", "right"][column];
  const share = Math.round((percent * most) / all.reduce((sum, one) => sum + one, 0));
  return "most " + where + ", " + share + " % on one cell of " + all.length;
}
