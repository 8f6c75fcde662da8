(() => {
const about = JSON.parse(byId("description").textContent);
const MOST_HISTORY = 1 << 26; // bytes of earlier states that can be gone back to
const PAUSE = 40; // milliseconds between two requests while one draws

// --- colours ---------------------------------------------------------------------------------------------------------

function paletteOf(domain) {
  if (!domain.classes) return null;
  if (domain.palette.length) return domain.palette;
  return Array.from({ length: domain.classes }, (_, index) => {
    if (!index) return [0, 0, 0];
    const hue = (index * 137.508) % 360, light = 0.45 + 0.15 * (index % 3);
    const f = (n) => {
      const k = (n + hue / 30) % 12, a = 0.65 * Math.min(light, 1 - light);
      return Math.round(255 * (light - a * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
    };
    return [f(0), f(8), f(4)];
  });
}

const hex = (colour) => "#" + colour.map((each) => each.toString(16).padStart(2, "0")).join("");

// --- PNG files of class indices, which a canvas cannot write ---------------------------------------------------------

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

function chunk(name, data) {
  const made = new Uint8Array(12 + data.length), view = new DataView(made.buffer);
  view.setUint32(0, data.length);
  made.set([...name].map((each) => each.charCodeAt(0)), 4);
  made.set(data, 8);
  let crc = 0xffffffff;
  for (let at = 4; at < 8 + data.length; at++) crc = CRC[(crc ^ made[at]) & 255] ^ (crc >>> 8);
  view.setUint32(8 + data.length, (crc ^ 0xffffffff) >>> 0);
  return made;
}

async function grayPng(width, height, values) {
  const rows = new Uint8Array((width + 1) * height);
  for (let y = 0; y < height; y++) rows.set(values.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const packed = new Response(new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate")));
  const head = new Uint8Array(13), view = new DataView(head.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  head[8] = 8;
  const signature = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
  const data = new Uint8Array(await packed.arrayBuffer());
  return new Blob([signature, chunk("IHDR", head), chunk("IDAT", data), chunk("IEND", new Uint8Array(0))],
    { type: "image/png" });
}

// --- a painting: an image, or a layer that is as large, with strokes and what they came over -------------------------

class Painting {
  constructor(domain, { layer = false, hole = false } = {}) {
    this.palette = paletteOf(domain);
    this.domain = domain;
    this.layer = layer;
    this.hole = hole;
    this.canvas = element("canvas");
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.history = [];
    this.file = null; // what was opened and not painted on, which is sent as it is
    this.touched = false;
    this.colour = this.palette ? Math.min(1, this.palette.length - 1) : layer ? "#ffffff" : "#000000";
    this.ground = this.palette ? 0 : layer ? "#000000" : "#ffffff";
  }

  clear(width, height) {
    this.canvas.width = width;
    this.canvas.height = height;
    this.indices = this.palette ? new Uint8Array(width * height) : null;
    this.history = [];
    this.file = null;
    this.touched = false;
    this.canvas.classList.toggle("small", Boolean(this.palette) && Math.max(width, height) < 384);
    if (this.palette) this.show(0, 0, width, height);
    else if (!this.layer) this.rectangle(this.ground);
  }

  rectangle(colour) {
    this.context.fillStyle = colour;
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  take(bitmap, file) {
    this.clear(bitmap.width, bitmap.height);
    this.context.clearRect(0, 0, bitmap.width, bitmap.height);
    this.context.drawImage(bitmap, 0, 0);
    if (this.palette) this.read();
    this.file = file;
    this.touched = true;
  }

  // The classes of an opened picture: gray values are indices, colours are those of the palette.
  read() {
    const { width, height } = this.canvas, { data } = this.context.getImageData(0, 0, width, height);
    const known = new Map(this.palette.map((each, index) => [(each[0] << 16) | (each[1] << 8) | each[2], index]));
    let gray = true;
    for (let at = 0; at < data.length && gray; at += 4) {
      gray = data[at] === data[at + 1] && data[at] === data[at + 2] && data[at] < this.palette.length;
    }
    for (let at = 0, pixel = 0; at < data.length; at += 4, pixel++) {
      const key = (data[at] << 16) | (data[at + 1] << 8) | data[at + 2];
      if (gray) this.indices[pixel] = data[at];
      else if (known.has(key)) this.indices[pixel] = known.get(key);
      else known.set(key, (this.indices[pixel] = this.nearest(data, at)));
    }
    this.show(0, 0, width, height);
  }

  nearest(data, at) {
    let best = 0, least = Infinity;
    this.palette.forEach((each, index) => {
      const off = (each[0] - data[at]) ** 2 + (each[1] - data[at + 1]) ** 2 + (each[2] - data[at + 2]) ** 2;
      if (off < least) [least, best] = [off, index];
    });
    return best;
  }

  show(left, top, width, height) {
    if (width < 1 || height < 1) return;
    const made = this.context.createImageData(width, height);
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at += 4) {
        const index = this.indices[(top + y) * this.canvas.width + left + x];
        made.data.set(this.palette[index], at);
        made.data[at + 3] = this.layer && index === this.ground ? 0 : 255;
      }
    }
    this.context.putImageData(made, left, top);
  }

  remember() {
    const { width, height } = this.canvas;
    const pixels = this.indices ? this.indices.slice() : this.context.getImageData(0, 0, width, height);
    this.history.push({ pixels, file: this.file, touched: this.touched });
    const size = width * height * (this.indices ? 1 : 4);
    while (this.history.length > 1 && this.history.length * size > MOST_HISTORY) this.history.shift();
  }

  undo() {
    const last = this.history.pop();
    if (!last) return false;
    if (this.indices) {
      this.indices.set(last.pixels);
      this.show(0, 0, this.canvas.width, this.canvas.height);
    } else this.context.putImageData(last.pixels, 0, 0);
    this.file = last.file;
    this.touched = last.touched;
    return true;
  }

  stroke(from, to, width, erase) {
    this.file = null;
    this.touched = true;
    if (this.indices) return this.stamp(from, to, width / 2, erase ? this.ground : this.colour);
    const context = this.context;
    context.globalCompositeOperation = erase && this.layer ? "destination-out" : "source-over";
    context.strokeStyle = context.fillStyle = erase ? this.ground : this.colour;
    context.lineWidth = width;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x + (from.x === to.x && from.y === to.y ? 0.01 : 0), to.y);
    context.stroke();
    context.globalCompositeOperation = "source-over";
  }

  // Whole pixels: between two classes there is none.
  stamp(from, to, radius, index) {
    const { width, height } = this.canvas, far = Math.hypot(to.x - from.x, to.y - from.y);
    const count = Math.max(1, Math.ceil((2 * far) / Math.max(radius, 0.5))), reach = Math.max(radius, 0.5);
    const clip = (value, most) => Math.max(0, Math.min(most, value));
    for (let number = 0; number <= count; number++) {
      const x0 = from.x + ((to.x - from.x) * number) / count, y0 = from.y + ((to.y - from.y) * number) / count;
      for (let y = clip(Math.floor(y0 - reach), height); y < clip(Math.ceil(y0 + reach), height); y++) {
        for (let x = clip(Math.floor(x0 - reach), width); x < clip(Math.ceil(x0 + reach), width); x++) {
          if ((x + 0.5 - x0) ** 2 + (y + 0.5 - y0) ** 2 <= reach ** 2 + 0.25) this.indices[y * width + x] = index;
        }
      }
    }
    const left = clip(Math.floor(Math.min(from.x, to.x) - reach), width);
    const top = clip(Math.floor(Math.min(from.y, to.y) - reach), height);
    this.show(left, top, clip(Math.ceil(Math.max(from.x, to.x) + reach), width) - left,
      clip(Math.ceil(Math.max(from.y, to.y) + reach), height) - top);
  }

  fill() {
    this.file = null;
    this.touched = true;
    if (this.indices) {
      this.indices.fill(this.colour);
      this.show(0, 0, this.canvas.width, this.canvas.height);
    } else this.rectangle(this.colour);
  }

  async blob() {
    if (this.file) return this.file;
    const { width, height } = this.canvas;
    if (this.indices) return grayPng(width, height, this.indices);
    let canvas = this.canvas;
    if (this.layer) {
      canvas = element("canvas", { width, height });
      const context = canvas.getContext("2d");
      const only = this.domain.alpha === "only"; // the plane is the opacity, by which holes are cut out
      context.fillStyle = this.ground;
      if (!only || this.hole) context.fillRect(0, 0, width, height);
      if (only && this.hole) context.globalCompositeOperation = "destination-out";
      context.drawImage(this.canvas, 0, 0);
    }
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }
}

// --- state -----------------------------------------------------------------------------------------------------------

const inputs = about.takes.inputs || {}, options = about.takes.options || {};
const image = new Painting(about.source);
const layers = new Map([["image", image]]);
const files = new Map(); // of inputs that are images of their own
const transparent = new Set(); // holes that are the image's own transparency
const zones = new Map(); // of layers: each tells whether something is painted
const controls = []; // each answers [name, text] pairs to send
let chosen = "image", erasing = false, unseen = null, answers = [], shownAnswer = 0;

for (const [name, each] of Object.entries(inputs)) {
  if (each.kind === "aligned") layers.set(name, new Painting(each.domain, { layer: true, hole: Boolean(each.hole) }));
}

const layer = () => layers.get(chosen);
const hasImage = () => image.canvas.width > 0 && image.touched;

function say(text, bad = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("bad", bad);
}

// --- the sheet: what is painted on -----------------------------------------------------------------------------------

function laySheet() {
  const { width, height } = image.canvas;
  unseen = null;
  byId("sheet").hidden = false;
  byId("drop").hidden = true;
  byId("sheet").style.setProperty("--ratio", width / height);
  for (const [name, each] of layers) {
    if (name !== "image" && (each.canvas.width !== width || each.canvas.height !== height)) each.clear(width, height);
  }
  byId("width").max = Math.max(8, Math.round(Math.max(width, height) / 4));
  byId("width").value = Math.max(4, Math.round(Math.max(width, height) / 24));
  tellWidth();
  tellUndo();
}

function startDrawing() {
  const [height, width] = about.size.length ? about.size : [256, 256];
  image.clear(width, height);
  image.touched = true;
  for (const [name, each] of layers) if (name !== "image") each.clear(width, height);
  choose("image");
  laySheet();
  changed();
}

async function openImage(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    unseen = file;
    image.clear(0, 0);
    byId("sheet").hidden = true;
    byId("drop").hidden = false;
    say(`The browser cannot show ${file.name}; it is sent as it is.`);
    changed();
    return;
  }
  for (const [name, each] of layers) if (name !== "image") each.clear(0, 0);
  image.take(bitmap, file);
  laySheet();
  changed();
}

function tellWidth() {
  byId("width-told").textContent = byId("width").value;
}

function tellUndo() {
  byId("undo").disabled = !layer().history.length;
  for (const [name, tell] of zones) tell(layers.get(name));
}

function choose(name) {
  chosen = name;
  for (const each of byId("layers").children) each.setAttribute("aria-pressed", String(each.value === name));
  showColours();
  tellUndo();
}

function tool(erase) {
  erasing = erase;
  byId("brush").setAttribute("aria-pressed", String(!erase));
  byId("eraser").setAttribute("aria-pressed", String(erase));
}

function showColours() {
  const painting = layer(), place = byId("colours");
  const gray = painting.domain.channels === 1;
  const usual = painting.layer && gray ? ["#ffffff", "#000000"] : gray ? ["#000000", "#808080", "#ffffff"]
    : ["#000000", "#ffffff", "#c0392b", "#e6a23c", "#3d8b40", "#2f6db5", "#7a5230"];
  const listed = painting.palette ? painting.palette.map((each, index) => [index, hex(each), `class ${index}`])
    : usual.map((each) => [each, each, each]);
  const pick = (value) => {
    painting.colour = value;
    for (const each of place.querySelectorAll(".swatch")) {
      each.setAttribute("aria-checked", String(each.dataset.value === String(value)));
    }
    tool(false);
  };
  place.replaceChildren(...listed.map(([value, colour, told]) => {
    const made = element("button", { type: "button", className: "swatch", title: told });
    made.setAttribute("role", "radio");
    made.setAttribute("aria-label", told);
    made.dataset.value = value;
    made.style.background = colour;
    if (painting.palette) {
      const [red, green, blue] = painting.palette[value];
      made.textContent = value;
      made.style.color = 0.3 * red + 0.59 * green + 0.11 * blue > 140 ? "#000000" : "#ffffff";
    }
    made.addEventListener("click", () => { pick(value); });
    return made;
  }));
  if (!painting.palette && !gray) {
    const other = element("input", { type: "color", value: painting.colour, title: "Another colour" });
    other.setAttribute("aria-label", "Another colour");
    other.addEventListener("input", () => { pick(other.value); });
    place.append(other);
  }
  const erase = erasing;
  pick(painting.colour);
  tool(erase);
}

const sheet = byId("sheet");
const ring = element("div", { id: "ring", hidden: true });
let last = null, cursor = null;

function place(event) {
  const box = sheet.getBoundingClientRect(), { width, height } = image.canvas;
  return { x: ((event.clientX - box.left) * width) / box.width, y: ((event.clientY - box.top) * height) / box.height };
}

function showRing(point) {
  const { width, height } = image.canvas, size = (100 * Number(byId("width").value)) / width;
  ring.hidden = false;
  ring.style.left = `${(100 * point.x) / width}%`;
  ring.style.top = `${(100 * point.y) / height}%`;
  ring.style.width = `${size}%`;
  ring.style.aspectRatio = "1";
}

function paint(from, to) {
  layer().stroke(from, to, Number(byId("width").value), erasing);
  tellUndo();
  changed();
}

function buildSheet() {
  for (const [name, each] of layers) {
    if (name !== "image") each.canvas.className = "layer";
    sheet.append(each.canvas);
  }
  image.canvas.tabIndex = 0;
  image.canvas.setAttribute("role", "application");
  image.canvas.setAttribute("aria-label", "Picture to paint on; arrow keys move the brush, Space paints");
  sheet.append(ring);
  sheet.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    image.canvas.focus({ preventScroll: true });
    sheet.classList.add("pointed");
    sheet.setPointerCapture(event.pointerId);
    layer().remember();
    last = place(event);
    paint(last, last);
  });
  sheet.addEventListener("pointermove", (event) => {
    const now = place(event);
    showRing(now);
    if (!last) return;
    for (const each of event.getCoalescedEvents ? event.getCoalescedEvents() : [event]) {
      const next = place(each);
      paint(last, next);
      last = next;
    }
  });
  const end = () => { last = null; };
  sheet.addEventListener("pointerup", end);
  sheet.addEventListener("pointercancel", end);
  sheet.addEventListener("pointerleave", () => { ring.hidden = true; });
  image.canvas.addEventListener("keydown", (event) => {
    sheet.classList.remove("pointed");
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const { width, height } = image.canvas;
    cursor = cursor || { x: width / 2, y: height / 2 };
    if (event.key in steps && !event.ctrlKey && !event.metaKey) {
      const far = Math.max(1, Number(byId("width").value) / 2), [x, y] = steps[event.key];
      cursor = { x: Math.max(0, Math.min(width, cursor.x + x * far)), y: Math.max(0, Math.min(height, cursor.y + y * far)) };
      if (event.shiftKey) paint(cursor, cursor);
    } else if (event.key === " ") {
      layer().remember();
      paint(cursor, cursor);
    } else return;
    event.preventDefault();
    showRing(cursor);
  });
}

// --- requests: one at a time, always of the newest state -------------------------------------------------------------

let busy = false, again = false, later = 0;

function changed() {
  if (!hasImage() && !unseen) return;
  clearTimeout(later);
  if (busy) again = true;
  else void work();
}

async function work() {
  busy = true;
  byId("output").setAttribute("aria-busy", "true");
  try {
    do {
      again = false;
      await ask();
      if (again) await new Promise((resolve) => setTimeout(resolve, PAUSE));
    } while (again);
  } finally {
    busy = false;
    byId("output").setAttribute("aria-busy", "false");
  }
}

async function ask() {
  const form = new FormData(), sent = unseen || await image.blob();
  form.append("image", sent, sent.name || "drawing.png");
  form.append("format", about.suffix.slice(1));
  for (const [name, each] of layers) {
    if (transparent.has(name)) form.append(`given.${name}`, "alpha");
    if (name === "image" || unseen || transparent.has(name) || (!each.touched && !inputs[name].required)) continue;
    form.append(`given.${name}`, await each.blob(), "layer.png");
  }
  for (const [name, file] of files) form.append(`given.${name}`, file, file.name || "image.png");
  for (const each of controls) for (const [name, text] of each()) form.append(name, text);
  const copy = unseen ? null : snapshot();
  if (!again) say("Translating ...");
  const begun = performance.now();
  let answer;
  try {
    answer = await fetch("api/translate", { method: "POST", body: form });
  } catch {
    say("The server does not answer; is it still running?", true);
    return;
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({ error: `The server answers ${answer.status}.` }));
    say(sentence(told.error), true);
    if (answer.status === 503) {
      later = setTimeout(changed, 1000 * Number(answer.headers.get("retry-after") || 2));
    }
    return;
  }
  let blobs, notices;
  if ((answer.headers.get("content-type") || "").startsWith("application/json")) {
    const found = await answer.json();
    notices = found.notices;
    blobs = found.images.map((each) => {
      return new Blob([Uint8Array.from(atob(each), (letter) => letter.charCodeAt(0))], { type: found.type });
    });
  } else {
    notices = JSON.parse(answer.headers.get("x-translate-notices") || "[]");
    blobs = [await answer.blob()];
  }
  byId("notices").replaceChildren(...notices.map((each) => element("li", { textContent: sentence(each) })));
  await showAnswers(blobs, copy);
  say(`Translated in ${Math.round(performance.now() - begun)} ms.`);
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.?!]$/.test(text) ? "" : ".");

function snapshot() {
  const { width, height } = image.canvas, copy = element("canvas", { width, height });
  copy.getContext("2d").drawImage(image.canvas, 0, 0);
  return copy;
}

// --- the answer ------------------------------------------------------------------------------------------------------

async function drawn(blob) {
  const canvas = element("canvas"), context = canvas.getContext("2d", { willReadFrequently: Boolean(about.target.classes) });
  const bitmap = await createImageBitmap(blob);
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  context.drawImage(bitmap, 0, 0);
  const palette = paletteOf(about.target);
  if (palette) {
    const found = context.getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 0; at < found.data.length; at += 4) found.data.set(palette[found.data[at]] || [0, 0, 0], at);
    context.putImageData(found, 0, 0);
  }
  return canvas;
}

async function showAnswers(blobs, copy) {
  answers = [];
  for (const blob of blobs) {
    const canvas = await drawn(blob).catch(() => null);
    answers.push({ blob, canvas, copy });
  }
  shownAnswer = Math.min(shownAnswer, answers.length - 1);
  byId("samples").replaceChildren(...(answers.length < 2 ? [] : answers.map((each, index) => {
    const made = element("button", { type: "button" }, each.canvas || `${index + 1}`);
    made.setAttribute("aria-label", `Sample ${index + 1}`);
    made.addEventListener("click", () => { showAnswer(index); });
    return made;
  })));
  showAnswer(shownAnswer);
}

function showAnswer(index) {
  shownAnswer = index;
  const { blob, canvas, copy } = answers[index];
  [...byId("samples").children].forEach((each, at) => { each.setAttribute("aria-pressed", String(at === index)); });
  const link = byId("download");
  if (link.href) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(blob);
  link.download = `translated${answers.length > 1 ? `-${index + 1}` : ""}${about.suffix}`;
  link.textContent = `Download ${about.suffix.slice(1).toUpperCase()}`;
  link.hidden = false;
  byId("pair").hidden = !canvas;
  byId("nothing").hidden = Boolean(canvas);
  if (!canvas) {
    byId("nothing").textContent = `The browser cannot show ${about.suffix} files; download it.`;
    return;
  }
  const after = byId("after"), before = byId("before");
  after.width = canvas.width;
  after.height = canvas.height;
  after.getContext("2d").drawImage(canvas, 0, 0);
  byId("pair").style.setProperty("--ratio", canvas.width / canvas.height);
  // Pictures are shown smooth, and maps, whose pixels mean something, as squares.
  const small = Math.max(canvas.width, canvas.height) < 384;
  after.classList.toggle("small", small && about.target.classes > 0);
  before.classList.toggle("small", small && about.source.classes > 0);
  for (const each of [before, byId("divider"), byId("slider"), ...byId("pair").querySelectorAll(".tag")]) each.hidden = !copy;
  if (!copy) return;
  before.width = copy.width;
  before.height = copy.height;
  before.getContext("2d").drawImage(copy, 0, 0);
  slide();
}

const slide = () => divide("input", "translation");

// --- options and inputs ----------------------------------------------------------------------------------------------

function field(name, help, control, build) {
  const id = `field-${name}`, row = element("div", { className: "field" });
  const label = element("label", { textContent: name, htmlFor: id });
  control.id = id;
  row.append(label, build ? build(control) : control);
  if (help) {
    const told = element("p", { className: "help", id: `${id}-help`, textContent: help });
    control.setAttribute("aria-describedby", told.id);
    row.append(told);
  }
  byId("options").append(row);
  return control;
}

function texts(name, control, read) {
  controls.push(() => {
    const text = read();
    return text === null ? [] : [[name, text]];
  });
  control.addEventListener("change", changed);
  control.addEventListener("input", changed);
}

function select(listed, value) {
  const made = element("select");
  made.append(...listed.map(([text, each]) => element("option", { value: each, textContent: text })));
  made.value = value;
  return made;
}

function optionControl(name, each) {
  const bounds = [["ge", "from"], ["gt", "above"], ["le", "to"], ["lt", "below"]].filter(([key]) => key in each)
    .map(([key, word]) => `${word} ${each[key]}`).join(", ");
  const list = each.several !== null && each.several !== undefined;
  const shown = each.default === null ? (each.none ? "none" : "") : String(each.default);
  const help = [each.help, bounds, list ? "several, with commas" : ""].filter(Boolean).join("; ");
  const plain = list || each.none;
  if (each.type === "bool" && !plain) {
    const box = element("input", { type: "checkbox", checked: Boolean(each.default) });
    field(name, help, box, (control) => element("span", { className: "check" }, control, "on"));
    texts(`given.${name}`, box, () => (box.checked === each.default ? null : String(box.checked)));
    return;
  }
  let control;
  if (each.type === "choice" && !list) {
    const choices = [...(each.none ? ["none"] : []), ...each.choices].map(String);
    control = select(choices.map((one) => [one, one]), shown);
  } else if (["int", "float"].includes(each.type) && !plain) {
    control = element("input", { type: "number", value: shown, step: each.type === "int" ? 1 : "any" });
    if ("ge" in each) control.min = each.ge;
    if ("le" in each) control.max = each.le;
  } else control = element("input", { type: "text", value: shown, spellcheck: false });
  field(name, help, control);
  texts(`given.${name}`, control, () => (control.value === "" || control.value === shown ? null : control.value));
}

function zone(name, help, { onFile, onClear }) {
  const file = element("input", { type: "file", accept: "image/*,.tif,.tiff,.npy", className: "hidden", tabIndex: -1 });
  file.setAttribute("aria-label", `File of ${name}`);
  const open = element("button", { type: "button", textContent: "Open" });
  const clear = element("button", { type: "button", textContent: "Remove", hidden: true });
  const picture = element("span"), box = element("div", { className: "zone" });
  const take = async (given) => {
    if (!given) return;
    const bitmap = await createImageBitmap(given).catch(() => null);
    const told = onFile(given, bitmap);
    if (told) { say(told, true); return; }
    clear.hidden = false;
    picture.replaceChildren(bitmap ? thumbnail(bitmap) : given.name);
    changed();
  };
  open.addEventListener("click", () => { file.click(); });
  file.addEventListener("change", () => { void take(file.files[0]); file.value = ""; });
  clear.addEventListener("click", () => {
    onClear();
    clear.hidden = true;
    picture.replaceChildren("none yet: drop one here");
    changed();
  });
  dropping(box, (given) => { void take(given); });
  picture.textContent = "none yet: drop one here";
  box.append(open, clear, picture, file);
  field(name, help, open, () => box);
  return { box, open, clear, picture };
}

function thumbnail(bitmap) {
  const scale = Math.min(1, 144 / Math.max(bitmap.width, bitmap.height));
  const made = element("canvas", { width: Math.max(1, bitmap.width * scale), height: Math.max(1, bitmap.height * scale) });
  made.getContext("2d").drawImage(bitmap, 0, 0, made.width, made.height);
  return made;
}

function inputControl(name, each) {
  const help = [each.help, each.required ? "must be given" : ""].filter(Boolean).join("; ");
  if (each.kind === "class") {
    const labels = (each.domain && each.domain.labels) || [];
    if (!labels.length) {
      const number = field(name, `${help || "the number of a class"}`, element("input", { type: "number", min: 0, step: 1 }));
      if (each.required) number.value = "0";
      texts(`given.${name}`, number, () => number.value || null);
      return;
    }
    const none = each.required ? [] : [["(none)", ""]];
    const control = select([...none, ...labels.map((one, index) => [one, String(index)])], each.required ? "0" : "");
    field(name, help, control);
    // By its name: a name may look like another's number.
    texts(`given.${name}`, control, () => (control.value ? labels[Number(control.value)] : null));
  } else if (each.kind === "vector" || each.kind === "latent") {
    const length = each.length ? `${each.length} numbers with commas` : "numbers with commas";
    const drawn = each.kind === "latent" ? "drawn from the seed if empty" : "";
    const control = element("input", { type: "text", spellcheck: false, placeholder: "0.5, 1, ..." });
    field(name, [help, length, drawn].filter(Boolean).join("; "), control);
    texts(`given.${name}`, control, () => control.value.replace(/\s/g, "") || null);
  } else if (each.kind === "image") {
    zone(name, help, {
      onFile: (file) => { files.set(name, file); return ""; },
      onClear: () => { files.delete(name); },
    });
  } else if (each.kind === "aligned") {
    const painting = layers.get(name);
    const { box, clear, picture } = zone(name, [help, "as large as the image"].filter(Boolean).join("; "), {
      onFile: (file, bitmap) => {
        if (!hasImage()) return "There is no image yet; open or draw one first.";
        if (!bitmap) return `The browser cannot show ${file.name}; give a PNG file.`;
        if (bitmap.width !== image.canvas.width || bitmap.height !== image.canvas.height) {
          return `The image has ${image.canvas.width} x ${image.canvas.height} pixels, and ${name} has ` +
            `${bitmap.width} x ${bitmap.height}; give one as large.`;
        }
        painting.take(bitmap, file);
        return "";
      },
      onClear: () => { painting.clear(image.canvas.width, image.canvas.height); tellUndo(); },
    });
    const brush = element("button", { type: "button", textContent: "Paint" });
    brush.addEventListener("click", () => {
      if (!hasImage()) startDrawing();
      choose(name);
      byId("easel").scrollIntoView({ block: "nearest" });
    });
    box.prepend(brush);
    if (each.hole) {
      const own = element("button", { type: "button", textContent: "Transparency", title: "What is transparent in the image" });
      own.setAttribute("aria-pressed", "false");
      own.addEventListener("click", () => {
        const on = !transparent.delete(name);
        if (on) transparent.add(name);
        own.setAttribute("aria-pressed", String(on));
        changed();
      });
      box.append(own);
    }
    zones.set(name, ({ touched, file }) => {
      clear.hidden = !touched;
      if (!touched) picture.textContent = "none yet: drop one here";
      else if (!file) picture.textContent = "painted";
    });
  }
}

function buildOptions() {
  for (const [name, each] of Object.entries(inputs)) inputControl(name, each);
  for (const [name, each] of Object.entries(options)) optionControl(name, each);
  if (about.takes_samples || about.draws_noise) {
    const seed = field("seed", "another seed draws other noise", element("input", { type: "number", value: "0", step: 1 }));
    texts("seed", seed, () => (["", "0"].includes(seed.value) ? null : seed.value));
  }
  if (about.takes_samples) {
    const count = field("samples", "outputs of one image, each with other noise",
      element("input", { type: "number", min: 1, max: 16, step: 1, placeholder: "1" }));
    texts("samples", count, () => count.value || null);
  }
  const side = field("longer side", "pixels to resize the image to; empty: as large as it is",
    element("input", { type: "number", min: 1, step: 1 }));
  texts("long_side", side, () => side.value || null);
}

// --- the page --------------------------------------------------------------------------------------------------------

function dropping(place, take) {
  const over = (on) => (event) => {
    event.preventDefault();
    place.classList.toggle("over", on);
  };
  place.addEventListener("dragover", over(true));
  place.addEventListener("dragleave", over(false));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    place.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
}

function undo() {
  if (layer().undo()) {
    tellUndo();
    changed();
  }
}

function resizeBrush(by) {
  byId("width").value = Math.max(1, Math.round(Number(byId("width").value) * by + Math.sign(by - 1)));
  tellWidth();
}

function fill() {
  if (!hasImage()) return;
  layer().remember();
  layer().fill();
  tellUndo();
  changed();
}

byId("name").textContent = about.name;
const domains = `${about.source.summary.split(",")[0]} to ${about.target.summary.split(",")[0]}`;
const trained = about.size.length ? `trained at ${about.size[1]} x ${about.size[0]}` : "";
byId("about").textContent = [about.method, domains, trained, about.about].filter(Boolean).join(" \u00b7 ");
byId("address").textContent = location.href.replace(/[#?].*$/, "");
buildSheet();
buildOptions();
if (layers.size > 1) {
  for (const name of layers.keys()) {
    const made = element("button", { type: "button", value: name, textContent: name });
    made.addEventListener("click", () => { if (hasImage()) choose(name); });
    byId("layers").append(made);
  }
}
choose("image");
byId("open").addEventListener("click", () => { byId("file").click(); });
byId("file").addEventListener("change", () => {
  if (byId("file").files[0]) void openImage(byId("file").files[0]);
  byId("file").value = "";
});
byId("new").addEventListener("click", startDrawing);
byId("brush").addEventListener("click", () => { tool(false); });
byId("eraser").addEventListener("click", () => { tool(true); });
byId("undo").addEventListener("click", undo);
byId("fill").addEventListener("click", fill);
byId("width").addEventListener("input", tellWidth);
byId("slider").addEventListener("input", slide);
byId("options").addEventListener("submit", (event) => { event.preventDefault(); });
const dropped = (file) => { if (file) void openImage(file); };
dropping(byId("easel"), dropped);
dropping(document.documentElement, dropped);
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
  if (file) void openImage(file);
});
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input[type=text], input[type=number], select") || event.altKey) return;
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && key === "z") undo();
  else if (event.ctrlKey || event.metaKey) return;
  else if (key === "b") tool(false);
  else if (key === "e") tool(true);
  else if (key === "f") fill();
  else if (key === "o") byId("file").click();
  else if (key === "n") startDrawing();
  else if (key === "[") resizeBrush(1 / 1.25);
  else if (key === "]") resizeBrush(1.25);
  else return;
  event.preventDefault();
});
})();
