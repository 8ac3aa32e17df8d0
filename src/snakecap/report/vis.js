/* NeuralTalk2's vis.json: [{image_id, caption, file_name?}], images in imgs/img<N>.jpg, N from 1. */

function say(text) {
  element("message").textContent = text;
  element("message").hidden = !text;
}

const base = (path) => String(path).split(/[\\/]/).pop();

/* A page's data from the entries; `address(name)` says where imgs/img<N>.jpg is. */
function adopt(entries, name, address) {
  if (!Array.isArray(entries) || !entries.every((row) => row && typeof row.caption === "string")) {
    throw new Error(name + " is not a list of objects with image_id and caption");
  }
  /* By file name, never by id alone: another data set's picture 7 is another picture. */
  const embedded = new Map(report.pictures.map((picture) => [base(picture.file), picture]));
  const pictures = entries.map((row, at) => {
    const known = row.file_name && embedded.get(base(row.file_name));
    const source = "imgs/img" + (at + 1) + ".jpg";
    return {
      id: row.image_id ?? at + 1,
      file: row.file_name || (known ? known.file : "img" + (at + 1) + ".jpg"),
      references: known ? known.references : [],
      captions: [[row.caption, null, typeof row.log_prob === "number" ? row.log_prob : null]],
      src: address(source),
      ...(known && known.image !== undefined ? { image: known.image } : {}),
    };
  });
  return { systems: [{ system: name, stage: "", label: name }], pictures, scored: false };
}

function turnTo(data, source) {
  shown = data;
  element("source").hidden = data === report;
  element("source").firstElementChild.textContent = source;
  options();
  Object.assign(state, fresh(), { hidden: hiddenAtFirst() });
  update();
}

function open(entries, name, address) {
  const data = adopt(entries, name, address);
  say("");
  turnTo(data, name + ": " + data.pictures.length.toLocaleString("en") + " captions.");
  element("gallery").scrollIntoView();
}

/* Files dropped or picked: one JSON, and perhaps its images. */
async function openFiles(files) {
  const json = files.find((file) => file.name.endsWith(".json"));
  if (!json) return say("None of these files is a JSON file: drop vis.json.");
  const images = new Map(files.filter((f) => f !== json).map((file) => [file.name, file]));
  const address = (path) => {
    const file = images.get(path.split("/").pop());
    return file ? URL.createObjectURL(file) : path;
  };
  try {
    open(JSON.parse(await json.text()), json.name, address);
  } catch (error) {
    say(json.name + ": " + error.message);
  }
}

/* ?vis=folder/vis.json, next to the page; a page on disk may not read its neighbours. */
async function openAddress(path) {
  if (location.protocol === "file:") {
    say("A page on disk may not read " + path + " by itself: drop the file here, or run: snakecap view " + path);
    return;
  }
  try {
    const at = new URL(path, location.href);
    if (at.origin !== location.origin) throw new Error("it is not next to this page");
    const answer = await fetch(at);
    if (!answer.ok) throw new Error(answer.status + " " + answer.statusText);
    open(await answer.json(), path, (name) => new URL(name, at).href);
  } catch (error) {
    say(path + ": " + error.message);
  }
}

/* All files of a drop, folders included. */
async function dropped(transfer) {
  const roots = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!roots.length) return [...transfer.files];
  const files = [];
  const walk = async (entry) => {
    if (entry.isFile) return files.push(await new Promise((yes, no) => entry.file(yes, no)));
    const reader = entry.createReader();
    for (;;) {
      const batch = await new Promise((yes, no) => reader.readEntries(yes, no));
      if (!batch.length) return;
      for (const inner of batch) await walk(inner);
    }
  };
  for (const root of roots) await walk(root);
  return files;
}

element("file").addEventListener("change", (event) => {
  openFiles([...event.target.files]);
  event.target.value = "";
});
element("back").addEventListener("click", () => turnTo(report, ""));
const carriesFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
addEventListener("dragover", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  element("drop").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) element("drop").hidden = true;
});
addEventListener("drop", async (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  element("drop").hidden = true;
  openFiles(await dropped(event.dataTransfer));
});
