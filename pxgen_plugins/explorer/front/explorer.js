// The explorer: sliders, painting and PXGen's plane on one generative model.
//
// One ES module for two hosts that give the same `model` (anywidget's AFM: get, set, on, off,
// save_changes, send): a notebook, and page.js for a browser. All logic of the model is in Python;
// this file asks by messages, shows the answers, and fetches nothing. In this order: elements and
// words, requests, pictures, the explorer's state, one function per panel, render.

const GROUP_WORDS = {
  HIHE: "close in both",
  HILE: "model delusion",
  LIHE: "aligned conception",
  LILE: "far in both",
};
const MOST_STROKES = 32;
const SPINNER_AFTER = 300; // milliseconds
const PATIENCE = 30_000; // milliseconds without an answer before the page says so
const HISTORY = 200; // states that undo can reach
const MOST_OF_GROUP = 10; // representatives shown
const FEW_AXES = 24; // more of them get a search field
const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// ---------------------------------------------------------------------- elements and words

// Texts become text nodes and nothing is parsed as markup, so labels of any content are inert.
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

const button = (text, onclick, attributes = {}) =>
  h("button", { type: "button", onclick, ...attributes }, text);

let lastName = 0; // two explorers on one notebook page share no id
const newId = () => `px-${++lastName}`;

function field(text, control, attributes = {}) {
  return h("label", { class: "px-field", ...attributes }, h("span", {}, text), control);
}

function figure(value, digits = 3) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "none";
  const size = Math.abs(value);
  const text =
    size && (size < 1e-4 || size >= 1e6)
      ? value.toExponential(digits - 1)
      : String(Number(value.toPrecision(digits)));
  return text.replace("-", "\u2212").replace("e+", "e");
}

function signed(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? text : (value > 0 ? "+" : "\u2212") + text;
}

const ACRONYMS = new Set("kld mse mae bce ssim dssim psnr elbo nll".split(" "));
const criterionName = (name) => (ACRONYMS.has(name) ? name.toUpperCase() : name);
// Characters that are not seen, or turn what follows around, are shown by their numbers.
const visible = (text, longest = 80) =>
  String(text)
    .replace(
      /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029\u3164]/gu,
      (one) => `\\u${one.codePointAt(0).toString(16).padStart(4, "0")}`,
    )
    .slice(0, longest);
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

const toBase64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

function download(text, type, name) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = h("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// A slider; the track is filled from its origin (0, or the lowest value) to the value.
function range(attributes, oninput) {
  const input = h("input", { type: "range", ...attributes });
  input.addEventListener("input", () => {
    fillTrack(input);
    oninput?.(Number(input.value));
  });
  fillTrack(input);
  return input;
}

function fillTrack(input) {
  const [low, high] = [Number(input.min), Number(input.max)];
  const share = (value) => clamp((value - low) / (high - low || 1), 0, 1);
  const ends = [share(clamp(0, low, high)), share(Number(input.value))].sort((a, b) => a - b);
  input.style.setProperty("--from", ends[0]);
  input.style.setProperty("--to", ends[1]);
}

function setRange(input, value) {
  input.value = value;
  fillTrack(input);
}

// A tab list as the ARIA practices describe it: one tab stop, arrow keys move between tabs.
function tabs(label, pages, onShow) {
  const list = h("div", { role: "tablist", "aria-label": label, class: "px-tabs" });
  const heads = pages.map(({ title, body }) => {
    const id = newId();
    const head = h(
      "button",
      { type: "button", role: "tab", id, "aria-controls": `${id}-page` },
      title,
    );
    body.id = `${id}-page`;
    body.setAttribute("role", "tabpanel");
    body.setAttribute("aria-labelledby", id);
    head.addEventListener("click", () => show(pages.findIndex((page) => page.body === body)));
    return head;
  });
  function show(current) {
    heads.forEach((head, i) => {
      head.setAttribute("aria-selected", String(i === current));
      head.tabIndex = i === current ? 0 : -1;
      pages[i].body.hidden = i !== current;
    });
    onShow?.(pages[current].name);
  }
  list.addEventListener("keydown", (event) => {
    const now = heads.indexOf(event.target);
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: -1 }[event.key];
    if (now < 0 || to === undefined) return;
    event.preventDefault();
    heads.at(to % heads.length).focus();
    heads.at(to % heads.length).click();
  });
  list.append(...heads);
  return { list, show };
}

// Radio buttons that look like one segmented control.
function choice(legend, options, current, onChange) {
  const name = newId();
  const radios = options.map(([value, text]) => {
    const radio = h("input", { type: "radio", name, value, checked: value === current });
    radio.addEventListener("change", () => onChange(value));
    return h("label", {}, radio, h("span", {}, text));
  });
  return h(
    "fieldset",
    { class: "px-choice" },
    h("legend", { class: "px-hidden" }, legend),
    ...radios,
  );
}

// ---------------------------------------------------------------------- requests

// One request of a kind is under way at a time. One more waits; a newer one takes its place, and
// the older is answered with null. So a drag never makes a queue, however slow the model is.
class Requests {
  constructor(model, status) {
    this.model = model;
    this.status = status; // {asking(n), busy(kind, isBusy), error(text, kind), late(isLate)}
    this.slots = new Map(); // kind -> {flying, waiting}
    this.byId = new Map();
    // Several views of one widget get all answers: numbers and a name that others do not use.
    this.client = Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) =>
      n.toString(36),
    ).join("");
    this.lastId = Math.floor(Math.random() * 2 ** 20) * 2 ** 30;
    this.receive = (content, buffers) => this.#receive(content, buffers ?? []);
    model.on("msg:custom", this.receive);
  }

  ask(kind, body = {}) {
    return new Promise((resolve) => {
      if (!this.slots.has(kind)) this.slots.set(kind, { flying: null, waiting: null });
      const slot = this.slots.get(kind);
      const request = { kind, body, resolve };
      if (!slot.flying) return this.#launch(slot, request);
      slot.waiting?.resolve(null);
      slot.waiting = request;
    });
  }

  // Frees everything that has no answer, for "try again".
  forget() {
    for (const id of [...this.byId.keys()]) this.#receive({ id, dropped: true }, []);
  }

  close() {
    this.model.off("msg:custom", this.receive);
    for (const { timers } of this.byId.values()) timers.forEach(clearTimeout);
  }

  #launch(slot, request) {
    request.id = ++this.lastId;
    request.timers = [
      setTimeout(() => this.status.busy(request.kind, true), SPINNER_AFTER),
      setTimeout(() => this.status.late(true), PATIENCE),
    ];
    slot.flying = request;
    this.byId.set(request.id, request);
    this.status.asking(this.byId.size);
    this.model.send({ id: request.id, kind: request.kind, client: this.client, ...request.body });
  }

  #receive(content, buffers) {
    const request = this.byId.get(content?.id);
    if (!request) return; // another view's, or one that was given up
    this.byId.delete(request.id);
    request.timers.forEach(clearTimeout);
    const slot = this.slots.get(request.kind);
    slot.flying = null;
    if (slot.waiting) {
      this.#launch(slot, slot.waiting);
      slot.waiting = null;
    } else this.status.busy(request.kind, false);
    this.status.asking(this.byId.size);
    if (!this.byId.size) this.status.late(false);
    if (content.dropped || content.stale) return request.resolve(null);
    this.status.error(content.error ?? "", request.kind);
    request.resolve(content.error ? null : { ...content, buffers });
  }
}

// ---------------------------------------------------------------------- pictures

const urls = new WeakMap();

function showPng(img, bytes) {
  const old = urls.get(img);
  const url = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  urls.set(img, url);
  img.src = url;
  if (old) URL.revokeObjectURL(old);
}

// What a model makes: `parts` has an image, a text with its tokens, or a row of columns and values.
function view(explorer, name) {
  const { data } = explorer.info;
  const root = h("div", { class: "px-view", "data-kind": data.kind });
  let img = null;
  let more = null;
  function showImage(bytes, text) {
    if (!img) {
      img = h("img", { class: "px-picture", draggable: "false" });
      img.classList.toggle("px-pixelated", Math.max(data.height ?? 0, data.width ?? 0) <= 128);
      root.prepend(img);
    }
    showPng(img, bytes);
    img.alt = text ?? name;
  }
  function show(answer, parts, text, before) {
    if (parts.image?.buffer !== undefined) showImage(answer.buffers[parts.image.buffer], text);
    const words = parts.row
      ? rowTable(parts.row, before)
      : parts.text != null
        ? textView(parts)
        : null;
    more?.remove();
    if (words) root.append(words);
    more = words;
  }
  return { root, show };
}

// What an answer has in one place, a picture, a text or a row, as `view` takes it.
function partsOf(thing) {
  if (thing == null) return null;
  if (typeof thing === "string") return { text: thing };
  return Array.isArray(thing) ? { row: thing } : { image: thing };
}

function textView({ text, tokens, continuation }) {
  const area = h("p", { class: "px-text" });
  if (!tokens?.length) area.append(text || "No text.");
  const most = Math.max(...(tokens ?? []).map(([, cost]) => cost ?? 0), 1e-9);
  for (const [words, cost] of tokens ?? []) {
    const mark = h("span", { class: "px-token", title: `${figure(cost)} nats` }, words);
    mark.style.setProperty("--cost", `${Math.round(100 * clamp((cost ?? 0) / most, 0, 1))}%`);
    area.append(mark);
  }
  const root = h("div", {}, area);
  if (tokens?.length) {
    const total = tokens.reduce((sum, [, cost]) => sum + (cost ?? 0), 0);
    const words = `Shade: what a token costs, at most ${figure(most)} nats; ${figure(total)} in all.`;
    root.append(h("p", { class: "px-quiet" }, words));
  }
  if (continuation) {
    const part = (title, words) => [h("dt", {}, title), h("dd", {}, words || "nothing")];
    const parts = [
      ...part("Its own end", continuation.own),
      ...part("The model goes on", continuation.model),
    ];
    root.append(h("dl", { class: "px-ends" }, ...parts));
  }
  return root;
}

function rowTable(row, before) {
  const old = before ? new Map(before) : null;
  const body = row.map(([column, value]) => {
    const head = h("th", { scope: "row" }, visible(column));
    if (!old) return h("tr", {}, head, h("td", {}, value));
    const was = old.get(column);
    const cells = [was ?? "", value, changeText(was, value)].map((words) => h("td", {}, words));
    return h("tr", { class: was === value ? null : "px-changed" }, head, ...cells);
  });
  const heads = old ? ["Column", "Before", "Now", "Change"] : ["Column", "Value"];
  return h(
    "table",
    { class: "px-row" },
    h("thead", {}, h("tr", {}, ...heads.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, ...body),
  );
}

function changeText(was, value) {
  if (was === value) return "";
  const [from, to] = [was, value].map((text) => Number(String(text).replaceAll(",", "")));
  if (!Number.isFinite(to - from)) return "changed";
  const size = Number(Math.abs(to - from).toPrecision(4)).toLocaleString("en", {
    maximumFractionDigits: 6,
  });
  return (to > from ? "+" : "\u2212") + size;
}

// Thumbnails of some anchors, on one sprite.
class Thumbnails {
  constructor(explorer) {
    this.sprite = explorer.info.anchors?.thumbnails ?? null;
    this.sheet = null;
    this.waiting = [];
    if (this.sprite?.buffer === undefined) return;
    this.sheet = new Image();
    this.sheet.addEventListener("load", () => this.waiting.splice(0).forEach((draw) => draw()));
    showPng(this.sheet, explorer.info.buffers[this.sprite.buffer]);
  }

  place(index) {
    if (!this.sheet) return -1;
    return this.sprite.indices.indexOf(index);
  }

  canvas(index) {
    const place = this.place(index);
    if (place < 0) return null;
    const { width, height, columns } = this.sprite;
    const canvas = h("canvas", {
      class: "px-thumb px-pixelated",
      width,
      height,
      "aria-hidden": "true",
    });
    const draw = () => {
      const [x, y] = [(place % columns) * width, Math.floor(place / columns) * height];
      canvas.getContext("2d").drawImage(this.sheet, x, y, width, height, 0, 0, width, height);
    };
    if (this.sheet.complete && this.sheet.naturalWidth) draw();
    else this.waiting.push(draw);
    return canvas;
  }
}

function anchorText(explorer, index) {
  const label = explorer.labelOf(index);
  return `anchor ${index}` + (label ? ` (${label})` : "");
}

// A button with the picture of an anchor that starts from it.
function anchorButton(explorer, index, { group, picture, note } = {}) {
  const face =
    picture ?? explorer.thumbnails.canvas(index) ?? h("span", { class: "px-number" }, `#${index}`);
  const name = group ?? explorer.groupOf(index);
  const text = [`Start from ${anchorText(explorer, index)}`, name, note].filter(Boolean).join(", ");
  const attributes = { class: "px-anchor", "data-group": name, "aria-label": text, title: text };
  const node = button("", () => explorer.startFromAnchor(index), attributes);
  node.append(face);
  if (note) node.append(h("small", { "aria-hidden": "true" }, note));
  return node;
}

// ---------------------------------------------------------------------- the explorer's state

class Explorer {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.listeners = new Map();
    this.state = { z: [], amounts: {}, strokes: [] };
    this.modelIndex = 0;
    this.history = [];
    this.selected = [];
    this.answer = null; // of the newest decode
    this.sentCode = "";
  }

  on(name, listener) {
    if (!this.listeners.has(name)) this.listeners.set(name, []);
    this.listeners.get(name).push(listener);
  }

  fire(name, ...values) {
    for (const listener of this.listeners.get(name) ?? []) listener(...values);
  }

  ask(kind, body) {
    return this.requests.ask(kind, body);
  }

  // A participant of a study sees the task and nothing else.
  get isTaskAlone() {
    return String(this.info.tools) === "task";
  }

  groupOf(index) {
    const { plane, groups } = this.info;
    return plane ? (groups[plane.group[index]] ?? null) : null;
  }

  labelOf(index) {
    return visible(this.info.anchors?.labels?.[index] ?? "");
  }

  // Replaces parts of the state, as one step of undo, and shows the picture. A new code comes from
  // an anchor or a sample, which is the answer `origin`, or from neither.
  change(parts, origin = null) {
    Object.assign(this.state, parts);
    if (parts.z) this.fire("origin", origin);
    this.fire("state");
    this.commit();
    return this.decode();
  }

  commit() {
    const text = JSON.stringify(this.state);
    if (this.history.at(-1) === text) return;
    this.history.push(text);
    if (this.history.length > HISTORY) this.history.shift();
    this.fire("history");
  }

  undo() {
    if (this.history.length < 2) return;
    this.history.pop();
    const { z } = this.state;
    this.state = JSON.parse(this.history.at(-1));
    if (String(z) !== String(this.state.z)) this.fire("origin", null);
    this.fire("state");
    this.fire("history");
    this.decode();
  }

  // Asks for the picture of the state, or, while something is dragged, of parts that replace its.
  async decode(isDragging = false, parts = {}) {
    const small = isDragging && Boolean(this.info.slow);
    const answer = await this.ask("decode", {
      ...this.state,
      ...parts,
      small,
      model: this.modelIndex,
    });
    if (!answer) return false;
    this.answer = answer;
    this.fire("picture", answer);
    if (!isDragging && answer.code && this.modelIndex === 0) {
      this.sentCode = JSON.stringify(answer.code);
      this.model.set("code", answer.code);
      this.model.save_changes();
    }
    return true;
  }

  async startFromAnchor(index) {
    const answer = await this.ask("anchor", { index, model: this.modelIndex });
    if (answer) await this.#startFrom(answer);
  }

  async sample(seed) {
    const answer = await this.ask("sample", { seed, model: this.modelIndex });
    if (answer) await this.#startFrom(answer);
  }

  // A model without codes shows what it was given, or has drawn.
  async #startFrom(answer) {
    if (answer.z?.length) return this.change({ z: answer.z, amounts: {}, strokes: [] }, answer);
    this.answer = answer;
    this.fire("origin", answer);
    return this.fire("picture", answer);
  }

  // The code of the picture that is shown, with all sliders where they are.
  get code() {
    return this.answer?.code ?? this.state.z;
  }

  async select(indices) {
    this.selected = [...new Set(indices)].sort((a, b) => a - b);
    this.fire("selected", null);
    this.model.set("selected", this.selected);
    this.model.save_changes();
    const answer = await this.ask("select", { indices: this.selected });
    if (answer) this.fire("selected", answer);
  }
}

// ---------------------------------------------------------------------- picture and verdict

function picturePanel(explorer) {
  const { kind } = explorer.info.data;
  const isPicture = kind === "image";
  const frame = (name) => {
    const display = view(explorer, name);
    const caption = h("figcaption", {}, name);
    const root = h("figure", { "data-part": name.toLowerCase() }, display.root, caption);
    return { ...display, caption, figure: root };
  };
  const [before, now, difference] = ["Before", "Now", "Difference"].map(frame);
  if (!isPicture) now.caption.textContent = "";
  const stage = h("div", { class: "px-stage", "data-mode": isPicture ? "side" : "one" });
  stage.append(before.figure, now.figure, difference.figure);
  const setMix = (share) => stage.style.setProperty("--mix", share);
  const mixField = field(
    "Before to now",
    range({ min: 0, max: 1, step: 0.01, value: 0.5 }, setMix),
    { hidden: true },
  );
  const modes = [
    ["side", "Side by side"],
    ["overlay", "Overlay"],
    ["difference", "Difference"],
  ];
  const mode = choice("How pictures are shown", modes, "side", (value) => {
    stage.dataset.mode = value;
    mixField.hidden = value !== "overlay";
  });
  explorer.stage = now.root; // painting lays its brush over it
  function showPictures(answer) {
    const group = answer.group ? `, group ${answer.group}` : "";
    now.show(answer, answer, `The picture now${group}`);
    if (!("change" in answer)) return; // a quick look while a slider moves
    before.show(answer, { image: answer.before ?? answer.image }, "The picture before");
    difference.figure.toggleAttribute("data-empty", !answer.difference);
    if (answer.difference) difference.show(answer, { image: answer.difference }, "What changed");
  }
  explorer.on("picture", (answer) => {
    if (isPicture) showPictures(answer);
    else now.show(answer, answer, "Now", Array.isArray(answer.before) ? answer.before : null);
    if (!("change" in answer)) return;
    const words = answer.change > 0 ? `mean change ${figure(answer.change)}` : "nothing changed";
    now.caption.textContent = isPicture || answer.change > 0 ? `Now: ${words}` : "";
    difference.caption.textContent = "Difference: red is more, blue less";
  });
  return h(
    "section",
    { class: "px-pictures", "aria-label": "Picture" },
    isPicture
      ? h("div", { class: "px-line" }, mode, mixField)
      : h("h2", {}, { text: "Text" }[kind] ?? "Row"),
    stage,
  );
}

// The group in words, and each criterion with its distance to the threshold.
function verdict(explorer) {
  const { criteria } = explorer.info;
  const badge = h("span", { class: "px-badge" });
  const words = h("span", {});
  const headline = h("p", { class: "px-headline" }, badge, words);
  const list = h("dl", { class: "px-criteria" });
  const live = h("p", { class: "px-hidden", "aria-live": "polite", "data-live": "group" });
  let last = null;
  explorer.on("picture", (answer) => {
    if (!("group" in answer)) return;
    const { group, values, distances, firmness } = answer;
    headline.hidden = !group;
    if (group) {
      badge.textContent = group;
      headline.dataset.group = group;
      const firm = Number.isFinite(firmness)
        ? `; keeps its group in ${Math.round(100 * firmness)} % of calibrations`
        : "";
      words.textContent = (GROUP_WORDS[group] ?? "") + firm;
      if (last && last !== group)
        live.textContent = `Group ${group}, ${GROUP_WORDS[group] ?? ""}; was ${last}.`;
      last = group;
    }
    list.replaceChildren(
      ...criteria.map((one) => criterionRow(one, values[one.name], distances[one.name])),
    );
  });
  return h("section", { class: "px-verdict", "aria-label": "Group" }, headline, list, live);
}

function criterionRow({ name, threshold }, value, distance) {
  const isKnown = Number.isFinite(value);
  const isInside = distance > 0;
  const bar = h("span", {
    class: "px-bar",
    "aria-hidden": "true",
    "data-inside": String(isInside),
  });
  const share = isKnown && threshold > 0 && value >= 0 ? value / threshold : NaN;
  if (Number.isNaN(share)) bar.classList.add("px-empty");
  else bar.style.setProperty("--at", `${clamp(50 * share, 1, 99)}%`);
  return h(
    "div",
    {},
    h("dt", {}, visible(criterionName(name))),
    h(
      "dd",
      {},
      h("b", {}, isKnown ? figure(value) : "none"),
      bar,
      h("span", { class: "px-quiet" }, distanceText(threshold, distance)),
    ),
  );
}

function distanceText(threshold, distance) {
  if (!Number.isFinite(distance)) return "";
  if (Math.abs(distance) <= 1e-9 * Math.abs(threshold))
    return `at the threshold ${figure(threshold)}`;
  const side = distance > 0 ? "inside" : "outside";
  return `${figure(Math.abs(distance))} ${side} the threshold ${figure(threshold)}`;
}

// ---------------------------------------------------------------------- start and sliders

function startPanel(explorer) {
  const { anchors, groups, representatives } = explorer.info;
  const seed = h("input", { type: "number", min: 0, step: 1, value: 0, class: "px-short" });
  const readSeed = () => Math.max(0, Math.floor(Number(seed.value) || 0));
  const take = () => explorer.sample(readSeed());
  const next = () => {
    seed.value = readSeed() + 1;
    take();
  };
  seed.addEventListener("change", take);
  const most = (anchors?.n ?? 0) - 1;
  const index = h("input", {
    type: "number",
    min: 0,
    max: most,
    step: 1,
    value: 0,
    class: "px-short",
  });
  index.addEventListener("change", () =>
    explorer.startFromAnchor(clamp(Math.floor(Number(index.value) || 0), 0, most)),
  );
  const origin = h("p", { class: "px-origin" });
  explorer.on("origin", (answer) => {
    origin.replaceChildren();
    if (!answer) return;
    const isAnchor = answer.index !== undefined;
    if (isAnchor) index.value = answer.index;
    const words = isAnchor
      ? `From ${anchorText(explorer, answer.index)}.`
      : `From seed ${answer.seed}.`;
    origin.append(words);
    if (!isAnchor || answer.image?.buffer === undefined) return;
    const img = h("img", {
      class: "px-thumb px-pixelated",
      alt: "The anchor itself",
      title: "The anchor itself",
    });
    showPng(img, answer.buffers[answer.image.buffer]);
    origin.prepend(img);
  });
  const rows = groups
    .filter((group) => representatives?.[group]?.length)
    .map((group) =>
      h(
        "div",
        {
          class: "px-strip",
          role: "group",
          "aria-label": `Representatives of ${group}`,
          "data-group": group,
        },
        h("span", { class: "px-badge", title: GROUP_WORDS[group] ?? "" }, group),
        h(
          "div",
          {},
          ...representatives[group]
            .slice(0, MOST_OF_GROUP)
            .map((one) => anchorButton(explorer, one, { group })),
        ),
      ),
    );
  return h(
    "section",
    { "aria-label": "Start from" },
    h("h2", {}, "Start from"),
    h(
      "div",
      { class: "px-line" },
      field("Seed", seed),
      button("New sample", next),
      most >= 0 ? field(`Anchor, 0 to ${most}`, index) : null,
    ),
    origin,
    ...rows,
  );
}

function slidersPanel(explorer) {
  const axes = [...explorer.info.axes].sort((a, b) => (b.visible ?? 0) - (a.visible ?? 0));
  const most = Math.max(...axes.map((axis) => axis.visible ?? 0), 1e-12);
  const rows = axes.map((axis) => sliderRow(explorer, axis, most));
  const list = h("div", { class: "px-sliders" }, ...rows.map((row) => row.root));
  const some = axes.some((axis) => axis.shown);
  const hiddenCount = some ? axes.filter((axis) => !axis.shown).length : 0;
  const search = h("input", {
    type: "search",
    placeholder: "Name of an axis",
    "aria-label": "Search axes",
  });
  const all = h("input", { type: "checkbox" });
  function filter() {
    const wanted = search.value.trim().toLowerCase();
    axes.forEach((axis, i) => {
      const isMatch = wanted && `${axis.label} ${axis.source}`.toLowerCase().includes(wanted);
      const isShown = wanted ? isMatch : all.checked || !some || axis.shown;
      rows[i].root.hidden = !isShown && !explorer.state.amounts[axis.index];
    });
  }
  search.addEventListener("input", filter);
  all.addEventListener("change", filter);
  filter();
  explorer.on("state", () => rows.forEach((row) => row.sync()));
  const about = h("span", { class: "px-quiet" }, "the most visible first");
  explorer.on("axes", (areUsable) => {
    rows.forEach(({ input }) => (input.disabled = !areUsable));
    about.textContent = areUsable ? "the most visible first" : "of a model with other codes";
  });
  return h(
    "section",
    { class: "px-axes", "aria-label": "Axes" },
    h("div", { class: "px-line" }, h("h2", {}, "Axes"), about),
    axes.length > FEW_AXES ? search : null,
    list,
    hiddenCount ? h("label", { class: "px-check" }, all, `Show all ${axes.length} axes`) : null,
  );
}

// What a description says of an axis, and how sure it is.
function sentenceOf({ sentence, certainty, confirmed }) {
  const isSure = Number.isFinite(certainty);
  const found = confirmed ? "confirmed" : "not confirmed";
  const words = isSure ? ` certainty ${figure(certainty)}, ${found}` : "";
  const text = h("bdi", {}, visible(sentence, 300));
  return h("p", { id: newId(), class: "px-sentence" }, text, h("span", { class: "px-quiet" }, words));
}

function sliderRow(explorer, axis, most) {
  const id = newId();
  const { index, min, max, step } = axis;
  const [label, source] = [axis.label, axis.source].map((text) => visible(text));
  const input = range({ id, min, max, step, value: 0, "data-axis": index }, (amount) =>
    set(amount, false),
  );
  const value = h("output", { for: id });
  const reset = button("\u21ba", () => set(0, true), {
    class: "px-reset",
    "aria-label": `Reset ${label}`,
    title: "Reset",
  });
  const effect = h("span", { class: "px-visible", "aria-hidden": "true" });
  effect.title = `Mean change by one step: ${figure(axis.visible)}`;
  effect.style.setProperty("--share", `${Math.round(100 * ((axis.visible ?? 0) / most))}%`);
  const name = h("label", { for: id, title: `${label}: ${source}` }, h("bdi", {}, label));
  if (source && source !== "dimension") name.append(h("span", { class: "px-quiet" }, ` ${source}`));
  const sentence = axis.sentence ? sentenceOf(axis) : null;
  if (sentence) input.setAttribute("aria-describedby", sentence.id);

  function show(amount) {
    value.textContent = signed(amount);
    reset.disabled = amount === 0;
  }
  function set(amount, isDone) {
    const amounts = { ...explorer.state.amounts, [index]: amount };
    if (amount === 0) delete amounts[index];
    explorer.state.amounts = amounts;
    setRange(input, amount);
    show(amount);
    if (!isDone) return explorer.decode(true);
    explorer.commit();
    return explorer.decode();
  }
  input.addEventListener("change", () => set(Number(input.value), true));
  input.addEventListener("dblclick", () => set(0, true));
  function sync() {
    const amount = explorer.state.amounts[index] ?? 0;
    setRange(input, amount);
    show(amount);
  }
  sync();
  const root = h("div", { class: "px-slider" }, name, effect, reset, value, input, sentence);
  return { root, input, sync };
}

// ---------------------------------------------------------------------- PXGen's plane

// Values of a criterion to pixels, linear or logarithmic; what has no place is put on the border.
function makeScale(values, isLog, from, to) {
  const bend = isLog ? Math.log10 : (value) => value;
  const hasPlace = (value) => !isLog || value > 0;
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value) || !hasPlace(value)) continue;
    low = Math.min(low, bend(value));
    high = Math.max(high, bend(value));
  }
  if (low > high) [low, high] = [0, 1];
  const padding = 0.06 * (high - low) || 0.5;
  [low, high] = [low - padding, high + padding];
  const place = (value) => {
    const share = hasPlace(value) ? clamp((bend(value) - low) / (high - low), 0, 1) : 0;
    return from + share * (to - from);
  };
  const holds = (value) => !hasPlace(value) || (bend(value) >= low && bend(value) <= high);
  return { place, holds, ticks: makeTicks(low, high, isLog) };
}

// Round numbers between two ends, of which about five fit; of a logarithmic axis the ends are powers.
function makeTicks(low, high, isLog) {
  if (!isLog) {
    const raw = (high - low) / 5;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = unit * [1, 2, 5, 10].find((digit) => digit * unit >= raw);
    const ticks = [];
    for (let k = Math.ceil(low / step); k * step <= high; k++) ticks.push(k * step);
    return ticks;
  }
  const digits = high - low > 2.5 ? [1] : high - low > 1.2 ? [1, 3] : [1, 2, 5];
  const every = Math.max(1, Math.ceil((high - low) / 6));
  const ticks = [];
  for (let power = Math.floor(low); power <= high; power++) {
    if (power % every) continue;
    ticks.push(...digits.map((digit) => digit * 10 ** power));
  }
  const inside = ticks.filter((tick) => Math.log10(tick) >= low && Math.log10(tick) <= high);
  return inside.length > 1 ? inside : makeTicks(10 ** low, 10 ** high, false);
}

const MARKS = {
  HIHE: (ink, x, y, r) => ink.arc(x, y, r, 0, 2 * Math.PI),
  HILE: (ink, x, y, r) =>
    polygon(ink, [x, y - 1.2 * r], [x + 1.1 * r, y + 0.9 * r], [x - 1.1 * r, y + 0.9 * r]),
  LIHE: (ink, x, y, r) => ink.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r),
  LILE: (ink, x, y, r) =>
    polygon(ink, [x, y - 1.3 * r], [x + 1.3 * r, y], [x, y + 1.3 * r], [x - 1.3 * r, y]),
};

function polygon(ink, ...corners) {
  corners.forEach(([x, y], i) => (i ? ink.lineTo(x, y) : ink.moveTo(x, y)));
  ink.closePath();
}

// Draws anchors, thresholds, the selection and the current code, and says which anchor is where.
class Plane {
  static MARGIN = { left: 60, right: 12, top: 12, bottom: 40 };
  static TRAIL = 30; // places of the current code that stay visible

  constructor(canvas, { plane, groups }, elements) {
    this.canvas = canvas;
    this.layer = document.createElement("canvas"); // what does not move: drawn once
    this.plane = plane;
    this.groups = groups;
    this.elements = elements; // whose colours are those of the theme: {quiet, swatches}
    const n = plane.x.length;
    this.x = new Float32Array(n); // in pixels; NaN for what has no place
    this.y = new Float32Array(n);
    this.cursor = -1; // the anchor under the pointer, or reached by keys
    this.corner = -1; // the anchor where a rectangle by keys begins
    this.brush = null; // a rectangle: two opposite corners, in pixels
    this.selected = [];
    this.trail = [];
    this.far = [[], []]; // values of codes beyond all anchors, by axis
    [this.xLabel, this.yLabel] = [plane.x_label, plane.y_label].map((text) =>
      text.split(" ").map(criterionName).join(" "),
    );
  }

  get isReady() {
    return Boolean(this.scales);
  }

  resize() {
    const box = this.canvas.getBoundingClientRect();
    if (!box.width) return;
    this.ratio = Math.min(2, window.devicePixelRatio || 1);
    [this.width, this.height] = [Math.round(box.width), Math.round(box.height)];
    for (const one of [this.canvas, this.layer]) {
      [one.width, one.height] = [this.width * this.ratio, this.height * this.ratio];
    }
    const { left, right, top, bottom } = Plane.MARGIN;
    this.box = [left, top, this.width - right, this.height - bottom];
    const { x, y, thresholds, log } = this.plane;
    this.scales = [
      makeScale([...x, thresholds[0], ...this.far[0]], log[0], this.box[0], this.box[2]),
      makeScale([...y, thresholds[1], ...this.far[1]], log[1], this.box[3], this.box[1]),
    ];
    for (let i = 0; i < x.length; i++) {
      const isValid = Number.isFinite(x[i]) && Number.isFinite(y[i]);
      [this.x[i], this.y[i]] = isValid ? this.place(x[i], y[i]) : [NaN, NaN];
    }
    this.drawLayer();
  }

  // The current code is there; where the axes do not reach it, they become longer.
  follow(point) {
    this.trail.push(point);
    if (this.trail.length > Plane.TRAIL) this.trail.shift();
    const isFar = (value, axis) => this.isReady && !this.scales[axis].holds(value);
    if (!point.some(isFar)) return this.draw();
    point.forEach((value, axis) => this.far[axis].push(value));
    return this.resize();
  }

  place(x, y) {
    return [this.scales[0].place(x), this.scales[1].place(y)];
  }

  // light-dark() is resolved only where a colour is used: the colours come from elements.
  readColours() {
    const of = (node, property) => getComputedStyle(node)[property];
    this.colours = {
      ink: of(this.canvas, "color"),
      line: of(this.canvas, "borderTopColor"),
      paper: of(this.canvas, "backgroundColor"),
      accent: of(this.canvas, "caretColor"),
      quiet: of(this.elements.quiet, "color"),
    };
    this.groups.forEach((group, i) => {
      this.colours[group] = of(this.elements.swatches[i], "backgroundColor");
    });
  }

  drawLayer() {
    this.readColours();
    const ink = this.layer.getContext("2d");
    ink.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    ink.fillStyle = this.colours.paper;
    ink.fillRect(0, 0, this.width, this.height);
    this.#drawAxes(ink);
    this.#drawAnchors(ink);
    this.#drawThresholds(ink);
    this.draw();
  }

  #drawAxes(ink) {
    const [left, top, right, bottom] = this.box;
    ink.font = "11px system-ui, sans-serif";
    ink.strokeStyle = this.colours.line;
    ink.fillStyle = this.colours.quiet;
    ink.textAlign = "center";
    ink.textBaseline = "top";
    for (const tick of this.scales[0].ticks) {
      const x = Math.round(this.scales[0].place(tick)) + 0.5;
      drawLine(ink, x, top, x, bottom);
      ink.fillText(figure(tick), x, bottom + 6);
    }
    ink.textAlign = "right";
    ink.textBaseline = "middle";
    for (const tick of this.scales[1].ticks) {
      const y = Math.round(this.scales[1].place(tick)) + 0.5;
      drawLine(ink, left, y, right, y);
      ink.fillText(figure(tick), left - 6, y);
    }
    ink.fillStyle = this.colours.ink;
    ink.textAlign = "center";
    ink.fillText(this.xLabel, (left + right) / 2, this.height - 9);
    ink.save();
    ink.translate(10, (top + bottom) / 2);
    ink.rotate(-Math.PI / 2);
    ink.fillText(this.yLabel, 0, 0);
    ink.restore();
  }

  #drawAnchors(ink) {
    const n = this.x.length;
    const radius = n < 500 ? 4 : n < 5000 ? 3 : 2;
    ink.globalAlpha = n < 500 ? 0.9 : n < 5000 ? 0.7 : 0.5;
    for (let i = 0; i < n; i++) {
      const group = this.groups[this.plane.group[i]];
      if (Number.isNaN(this.x[i]) || !group) continue;
      ink.fillStyle = this.colours[group];
      ink.beginPath();
      (MARKS[group] ?? MARKS.HIHE)(ink, this.x[i], this.y[i], radius);
      ink.fill();
    }
    ink.globalAlpha = 1;
  }

  #drawThresholds(ink) {
    const [left, top, right, bottom] = this.box;
    const [one, other] = this.plane.thresholds;
    const [x, y] = this.place(one, other);
    this.canvas.dataset.thresholds = `${x.toFixed(2)} ${y.toFixed(2)}`;
    ink.strokeStyle = this.colours.ink;
    ink.lineWidth = 1.25;
    ink.setLineDash([5, 4]);
    if (Number.isFinite(one)) drawLine(ink, x, top, x, bottom);
    if (Number.isFinite(other)) drawLine(ink, left, y, right, y);
    ink.setLineDash([]);
    ink.lineWidth = 1;
  }

  // What moves: selection, rectangle, cursor, and the current code with its trail.
  draw() {
    if (!this.isReady) return;
    const ink = this.canvas.getContext("2d");
    ink.setTransform(1, 0, 0, 1, 0, 0);
    ink.drawImage(this.layer, 0, 0);
    ink.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    ink.strokeStyle = this.colours.ink;
    ink.lineWidth = 1.5;
    for (const i of this.selected) this.#drawRing(ink, i, 5.5);
    const rectangle = this.brush ?? this.keyRectangle();
    if (rectangle) this.#drawRectangle(ink, rectangle);
    if (this.cursor >= 0) {
      ink.strokeStyle = this.colours.accent;
      ink.lineWidth = 2.5;
      this.#drawRing(ink, this.cursor, 8);
    }
    if (this.trail.length) this.#drawCode(ink);
  }

  #drawRing(ink, i, radius) {
    if (Number.isNaN(this.x[i])) return;
    ink.beginPath();
    ink.arc(this.x[i], this.y[i], radius, 0, 2 * Math.PI);
    ink.stroke();
  }

  #drawRectangle(ink, [x0, y0, x1, y1]) {
    ink.strokeStyle = ink.fillStyle = this.colours.accent;
    ink.globalAlpha = 0.15;
    ink.fillRect(x0, y0, x1 - x0, y1 - y0);
    ink.globalAlpha = 1;
    ink.strokeRect(x0, y0, x1 - x0, y1 - y0);
  }

  #drawCode(ink) {
    const places = this.trail.map(([x, y]) => this.place(x, y));
    ink.strokeStyle = this.colours.accent;
    ink.lineWidth = 2;
    places.slice(1).forEach(([x, y], i) => {
      ink.globalAlpha = (i + 1) / places.length;
      drawLine(ink, ...places[i], x, y);
    });
    ink.globalAlpha = 1;
    const [x, y] = places.at(-1);
    this.canvas.dataset.point = `${x.toFixed(1)} ${y.toFixed(1)}`;
    for (const [colour, thickness] of [
      [this.colours.paper, 5],
      [this.colours.ink, 2.25],
    ]) {
      ink.strokeStyle = colour;
      ink.lineWidth = thickness;
      ink.beginPath();
      ink.arc(x, y, 7, 0, 2 * Math.PI);
      ink.stroke();
      for (const [dx, dy] of [
        [1, 0],
        [-1, 0],
        [0, 1],
        [0, -1],
      ]) {
        drawLine(ink, x + 3 * dx, y + 3 * dy, x + 11 * dx, y + 11 * dy);
      }
    }
  }

  // The rectangle between the anchor where it was begun by a key and the one at the cursor.
  keyRectangle() {
    const { corner, cursor, x, y } = this;
    return corner >= 0 && cursor >= 0 ? [x[corner], y[corner], x[cursor], y[cursor]] : null;
  }

  nearest(x, y, reach) {
    let [best, least] = [-1, reach * reach];
    for (let i = 0; i < this.x.length; i++) {
      const distance = (this.x[i] - x) ** 2 + (this.y[i] - y) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  inside([x0, y0, x1, y1]) {
    const [left, right] = [Math.min(x0, x1), Math.max(x0, x1)];
    const [top, bottom] = [Math.min(y0, y1), Math.max(y0, y1)];
    const isInside = (i) =>
      this.x[i] >= left && this.x[i] <= right && this.y[i] >= top && this.y[i] <= bottom;
    return [...this.x.keys()].filter(isInside);
  }

  // The next anchor in a direction: near, and not far off to the side.
  neighbour(dx, dy) {
    if (this.cursor < 0) return this.nearest(this.width / 2, this.height / 2, Infinity);
    let [best, least] = [this.cursor, Infinity];
    for (let i = 0; i < this.x.length; i++) {
      const [x, y] = [this.x[i] - this.x[this.cursor], this.y[i] - this.y[this.cursor]];
      const along = x * dx + y * dy;
      const cost = along + 3 * Math.abs(x * dy - y * dx);
      if (along > 0.5 && cost < least) [best, least] = [i, cost];
    }
    return best;
  }
}

function drawLine(ink, x0, y0, x1, y1) {
  ink.beginPath();
  ink.moveTo(x0, y0);
  ink.lineTo(x1, y1);
  ink.stroke();
}

function planePanel(explorer) {
  const { plane: points, groups } = explorer.info;
  const help = h(
    "p",
    { class: "px-quiet", id: newId() },
    "Drag to select anchors, click to start from one. By keys: arrows move between anchors, Space " +
      "selects, B sets a corner of a rectangle and B again selects inside, Enter starts, Escape clears.",
  );
  const canvas = h("canvas", {
    class: "px-plane",
    tabindex: 0,
    role: "application",
    "aria-describedby": help.id,
  });
  const legend = h("ul", { class: "px-legend" });
  const swatches = groups.map((group) => {
    const members = [...points.group.keys()].filter((i) => groups[points.group[i]] === group);
    const swatch = h("span", { class: "px-swatch", "data-group": group, "data-shape": group });
    const title = `Select the anchors of ${group}: ${GROUP_WORDS[group] ?? ""}`;
    const node = button("", () => explorer.select(members), { title });
    node.append(swatch, `${group} ${members.length.toLocaleString("en")}`);
    legend.append(h("li", {}, node));
    return swatch;
  });
  const plane = new Plane(canvas, explorer.info, { quiet: help, swatches });
  canvas.setAttribute("aria-label", `Plane of anchors: ${plane.yLabel} against ${plane.xLabel}`);
  const tip = h("div", { class: "px-tip", hidden: true });
  const spoken = h("p", { class: "px-hidden", "aria-live": "polite", "data-live": "anchor" });
  const point = (index, isSpoken) => {
    if (index === plane.cursor) return;
    plane.cursor = index;
    showTip(explorer, plane, tip);
    if (index >= 0 && isSpoken) spoken.textContent = tip.textContent;
    plane.draw();
  };
  listenToPointer(explorer, plane, point);
  listenToKeys(explorer, plane, point);

  const count = h("p", { class: "px-selection px-quiet" });
  const clear = button("Clear", () => explorer.select([]), {
    class: "px-small",
    hidden: true,
    "aria-label": "Clear the selection",
  });
  explorer.on("selected", (answer) => {
    const counts = Object.entries(answer?.groups ?? {}).filter(([, number]) => number);
    const shares = counts.map(([group, number]) => `${number} ${group}`).join(", ");
    const total = explorer.selected.length;
    const words = `${total.toLocaleString("en")} selected${shares ? `: ${shares}` : ""}`;
    count.textContent = total ? words : "";
    clear.hidden = !total;
    plane.selected = explorer.selected;
    plane.draw();
  });
  explorer.on("origin", () => (plane.trail.length = 0));
  explorer.on("picture", (answer) => {
    if (!("point" in answer)) return;
    if (answer.point?.every(Number.isFinite)) return plane.follow(answer.point);
    plane.trail.length = 0;
    return plane.draw();
  });
  explorer.on("theme", () => plane.isReady && plane.drawLayer());
  const observer = new ResizeObserver(() => plane.resize());
  observer.observe(canvas);
  explorer.on("close", () => observer.disconnect());
  return h(
    "section",
    { class: "px-plane-panel", "aria-label": "Plane of anchors" },
    h(
      "div",
      { class: "px-line px-title", "aria-live": "polite" },
      h("h2", {}, "Plane"),
      count,
      clear,
    ),
    h("div", { class: "px-plane-box" }, canvas, tip),
    legend,
    h("details", {}, h("summary", { class: "px-quiet" }, "Mouse and keys"), help),
    spoken,
  );
}

function showTip(explorer, plane, tip) {
  const { cursor: index, width } = plane;
  tip.hidden = index < 0;
  if (index < 0) return;
  const text = `${anchorText(explorer, index)}, ${explorer.groupOf(index) ?? "no group"}`;
  const parts = [explorer.thumbnails.canvas(index), h("span", {}, text)];
  tip.replaceChildren(...parts.filter(Boolean));
  const [x, y] = [plane.x[index], plane.y[index]];
  tip.style.left = x > width / 2 ? "auto" : `${x + 14}px`;
  tip.style.right = x > width / 2 ? `${width - x + 14}px` : "auto";
  tip.style.top = `${y + 10}px`;
}

function listenToPointer(explorer, plane, point) {
  const { canvas } = plane;
  let start = null; // where the button went down
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const end = () => {
    start = plane.brush = null;
    plane.draw();
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return; // not the first one
    canvas.setPointerCapture(event.pointerId);
    start = at(event);
    plane.corner = -1;
  });
  canvas.addEventListener("pointermove", (event) => {
    const place = at(event);
    if (!start) return point(plane.nearest(...place, 14), false);
    if (Math.hypot(place[0] - start[0], place[1] - start[1]) > 4)
      plane.brush = [...start, ...place];
    plane.draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    const picked = plane.nearest(...at(event), 14);
    if (plane.brush) explorer.select(plane.inside(plane.brush));
    else if (start && picked >= 0) explorer.startFromAnchor(picked);
    end();
  });
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("pointerleave", () => {
    if (!start && document.activeElement !== canvas) point(-1);
  });
}

function listenToKeys(explorer, plane, point) {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const toggle = () => {
    const others = explorer.selected.filter((i) => i !== plane.cursor);
    const isNew = others.length === explorer.selected.length;
    explorer.select(isNew ? [...others, plane.cursor] : others);
  };
  const corner = () => {
    if (plane.corner >= 0) explorer.select(plane.inside(plane.keyRectangle()));
    plane.corner = plane.corner >= 0 ? -1 : plane.cursor;
    plane.draw();
  };
  plane.canvas.addEventListener("keydown", (event) => {
    const { key } = event;
    const hasCursor = plane.cursor >= 0;
    if (ways[key]) point(plane.neighbour(...ways[key]), true);
    else if (key === "Enter" && hasCursor) explorer.startFromAnchor(plane.cursor);
    else if (key === " " && hasCursor) toggle();
    else if (key.toLowerCase() === "b" && hasCursor && !event.ctrlKey && !event.metaKey) corner();
    else if (key === "Escape") {
      plane.corner = -1;
      explorer.select([]);
    } else return;
    event.preventDefault();
  });
  plane.canvas.addEventListener("blur", () => point(-1));
}

function nearestPanel(explorer) {
  const list = h("div", { class: "px-nearest" });
  const images = [];
  explorer.on("picture", (answer) => {
    if (!("nearest" in answer)) return;
    const near = answer.nearest;
    const nodes = near.map(({ index, distance, image, text }, i) => {
      let picture = null;
      if (image?.buffer !== undefined) {
        picture = images[i] ??= h("img", { class: "px-thumb px-pixelated", alt: "" });
        showPng(picture, answer.buffers[image.buffer]);
      } else if (text != null) picture = h("span", { class: "px-words" }, text);
      const node = anchorButton(explorer, index, { picture, note: figure(distance, 2) });
      const label = explorer.labelOf(index);
      if (label) node.append(h("bdi", { "aria-hidden": "true" }, label));
      return node;
    });
    list.replaceChildren(...nodes);
    root.hidden = !near.length;
  });
  const title = h("h2", {}, "Nearest anchors");
  const root = h(
    "section",
    { class: "px-near", "aria-label": "Nearest anchors", hidden: true },
    title,
    list,
  );
  return root;
}

// ---------------------------------------------------------------------- painting

// The brush over the picture: it makes masks, by mouse, pen, finger or keys, and shows where it is.
class Brush {
  constructor(rows, columns) {
    [this.rows, this.columns] = [rows, columns];
    this.diameter = 0.14; // of the picture's longer side
    this.place = [0.5, 0.5]; // in shares of the picture
    this.cells = null; // of the stroke that is being painted
    this.last = null; // its last place
    this.masks = []; // of the strokes before
    this.ring = h("span", { class: "px-ring", "aria-hidden": "true" });
    this.canvas = h("canvas", {
      class: "px-brush px-pixelated",
      width: columns,
      height: rows,
      tabindex: 0,
      role: "application",
      "aria-label": "Brush on the picture: arrow keys move it, Space paints",
    });
  }

  begin() {
    this.cells = new Uint8Array(this.rows * this.columns);
    this.last = null;
  }

  end() {
    this.cells = null;
    this.draw();
  }

  // A disc at a place, and on the way from the last place to it.
  dab(x, y) {
    const { rows, columns } = this;
    const [x0, y0] = this.last ?? [x, y];
    const steps = Math.max(1, Math.ceil(Math.hypot((x - x0) * columns, (y - y0) * rows)));
    for (let k = 0; k <= steps; k++) {
      const share = k / steps;
      this.#disc((x0 + share * (x - x0)) * columns, (y0 + share * (y - y0)) * rows);
    }
    this.last = this.place = [x, y];
  }

  #disc(x, y) {
    const { rows, columns } = this;
    const radius = Math.max(0.71, (this.diameter / 2) * Math.max(rows, columns));
    const [top, left] = [Math.max(0, Math.floor(y - radius)), Math.max(0, Math.floor(x - radius))];
    for (let row = top; row <= Math.min(rows - 1, y + radius); row++) {
      for (let column = left; column <= Math.min(columns - 1, x + radius); column++) {
        const isInside = Math.hypot(column + 0.5 - x, row + 0.5 - y) <= radius;
        if (isInside) this.cells[row * columns + column] = 255;
      }
    }
  }

  // Where strokes went is tinted; the brush is a ring.
  draw() {
    const ink = this.canvas.getContext("2d");
    const image = ink.createImageData(this.columns, this.rows);
    const tint = (mask, alpha) =>
      mask.forEach((cell, i) => cell && image.data.set([204, 121, 167, alpha], 4 * i));
    for (const mask of this.masks) tint(mask, 60);
    if (this.cells) tint(this.cells, 150);
    ink.putImageData(image, 0, 0);
    const width = (this.diameter * Math.max(this.rows, this.columns)) / this.columns;
    this.ring.style.left = `${100 * this.place[0]}%`;
    this.ring.style.top = `${100 * this.place[1]}%`;
    this.ring.style.width = `${100 * width}%`;
  }

  // Calls allow() before a stroke, move() while it goes on, and finish() or cancel() at its end.
  listen({ allow, move, finish, cancel }) {
    const { canvas } = this;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      const place = [
        (event.clientX - box.left) / box.width,
        (event.clientY - box.top) / box.height,
      ];
      return place.map((share) => clamp(share, 0, 1));
    };
    const paint = (place) => {
      this.dab(...place);
      this.draw();
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button || !allow()) return;
      canvas.setPointerCapture(event.pointerId);
      this.begin();
      paint(at(event));
      move();
    });
    canvas.addEventListener("pointermove", (event) => {
      this.place = at(event);
      if (!this.cells) return this.draw();
      paint(this.place);
      move();
    });
    canvas.addEventListener("pointerup", () => this.cells && finish());
    canvas.addEventListener("pointercancel", () => {
      this.end();
      cancel();
    });
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    canvas.addEventListener("keydown", (event) => {
      const way = ways[event.key];
      if (way) {
        const far = event.shiftKey ? 0.15 : 0.04;
        this.place = this.place.map((share, i) => clamp(share + far * way[i], 0, 1));
        this.draw();
      } else if (event.key === " ") {
        if (allow()) {
          this.begin();
          paint(this.place);
          finish();
        }
      } else return;
      event.preventDefault();
    });
  }
}

// A stroke at full strength with the brush of the last one belongs to it: the union of both does
// exactly what one after the other does, and messages stay short.
function withStroke(strokes, one) {
  const before = strokes.at(-1);
  const settings = ({ mask, ...others }) => JSON.stringify(others);
  const isSame = before && one.mask && one.strength === 1 && settings(before) === settings(one);
  if (!isSame) return [...strokes, one];
  const cells = fromBase64(one.mask.cells);
  const union = fromBase64(before.mask.cells).map((cell, i) => cell | cells[i]);
  return [...strokes.slice(0, -1), { ...one, mask: { ...one.mask, cells: toBase64(union) } }];
}

// The controls that say which units a brush sets: layer, concept or numbers, on or off, strength.
function unitControls(layers) {
  const option = (value, text) => h("option", { value }, text);
  const names = layers.map(({ name, units }, i) => option(i, `${name}, ${plural(units, "unit")}`));
  const layer = h("select", {}, ...names);
  const concept = h("select", {});
  const units = h("input", { type: "text", inputmode: "numeric", spellcheck: "false" });
  const strength = range({ min: 0, max: 1, step: 0.05, value: 1 });
  const states = [
    ["on", "On"],
    ["off", "Off"],
  ];
  let value = "on";
  const switches = choice("What painting does to the units", states, value, (one) => (value = one));
  const currentLayer = () => layers[Number(layer.value) || 0];
  function fillConcepts() {
    const options = currentLayer().concepts.map(({ name, units: own }, i) =>
      option(i, `${visible(name)} (${plural(own.length, "unit")})`),
    );
    concept.replaceChildren(...options, option("", "Units by number"));
    showUnits();
  }
  function showUnits() {
    units.readOnly = concept.value !== "";
    if (units.readOnly)
      units.value = currentLayer().concepts[Number(concept.value)].units.join(", ");
    else if (!units.value) units.value = "0";
  }
  // The units as numbers; null where they are none of the layer's.
  function readUnits() {
    const numbers = units.value
      .split(/[\s,;]+/)
      .filter(Boolean)
      .map(Number);
    const most = currentLayer().units;
    const isAllowed = (unit) => Number.isInteger(unit) && unit >= 0 && unit < most;
    return numbers.length && numbers.every(isAllowed) ? [...new Set(numbers)] : null;
  }
  layer.addEventListener("change", fillConcepts);
  concept.addEventListener("change", showUnits);
  fillConcepts();
  const title = h("span", { "aria-hidden": "true" }, "Units are set");
  const fields = [
    field("Layer", layer),
    field("Concept", concept),
    field("Units", units),
    h("div", { class: "px-field" }, title, switches),
    field("Strength", strength),
  ];
  // Units without a map have no place in the picture: they are set everywhere.
  const stroke = (mask) => ({
    layer: currentLayer().name,
    units: readUnits(),
    mask: currentLayer().height == null ? null : mask,
    value,
    strength: Number(strength.value),
  });
  return { fields, layer, currentLayer, readUnits, stroke };
}

function paintPage(explorer) {
  const { paint, data } = explorer.info;
  const brush = new Brush(data.height, data.width);
  const controls = unitControls(paint.layers);
  const note = h("p", { class: "px-quiet", "aria-live": "polite" });
  const list = h("ol", { class: "px-strokes" });
  const clear = button("Clear painting", () => explorer.change({ strokes: [] }), { hidden: true });
  const setSize = (diameter) => {
    brush.diameter = diameter;
    brush.draw();
  };
  const size = range({ min: 0.03, max: 0.5, step: 0.01, value: brush.diameter }, setSize);
  const strokes = () => {
    const mask = { size: [brush.rows, brush.columns], cells: toBase64(brush.cells) };
    return withStroke(explorer.state.strokes, controls.stroke(mask));
  };
  brush.listen({
    allow() {
      const isFull = explorer.state.strokes.length >= MOST_STROKES;
      note.textContent = "";
      if (!controls.readUnits()) {
        note.textContent = `Name units between 0 and ${controls.currentLayer().units - 1}.`;
      } else if (isFull) note.textContent = `${MOST_STROKES} strokes are the most: undo some.`;
      return !note.textContent;
    },
    move: () => explorer.decode(true, { strokes: strokes() }),
    finish() {
      const all = strokes();
      brush.end();
      explorer.change({ strokes: all });
    },
    cancel: () => explorer.decode(),
  });
  explorer.on("state", () => {
    const all = explorer.state.strokes;
    const items = all.map(({ units, value, strength }, i) => {
      const share = strength < 1 ? `, ${Math.round(100 * strength)} %` : "";
      const words = `${plural(units.length, "unit")} ${value}${share}`;
      const remove = () => explorer.change({ strokes: all.filter((_, k) => k !== i) });
      const name = `Remove stroke ${i + 1}: ${words}`;
      return h("li", {}, words, button("\u00d7", remove, { "aria-label": name }));
    });
    list.replaceChildren(...items);
    clear.hidden = !all.length;
    controls.layer.disabled = all.length > 0; // one picture is painted in one layer
    brush.masks = all.filter(({ mask }) => mask).map(({ mask }) => fromBase64(mask.cells));
    brush.draw();
  });
  explorer.on("tool", (name) => (brush.canvas.hidden = brush.ring.hidden = name !== "paint"));
  explorer.stage.append(brush.canvas, brush.ring);
  brush.draw();
  return h(
    "div",
    { class: "px-page" },
    h("p", { class: "px-quiet" }, "Choose what to paint, then brush over the picture called Now."),
    h("div", { class: "px-fields" }, ...controls.fields, field("Brush size", size)),
    note,
    h("div", { class: "px-line" }, list, clear),
  );
}

// ---------------------------------------------------------------------- walk and comparison

function walkPage(explorer) {
  const { anchors } = explorer.info;
  const most = (anchors?.n ?? 1) - 1;
  const start = h(
    "select",
    {},
    h("option", { value: "code" }, "What is shown"),
    h("option", { value: "anchor" }, "An anchor"),
  );
  const number = (value) =>
    h("input", { type: "number", min: 0, max: most, step: 1, value, class: "px-short" });
  const [from, to] = [number(0), number(Math.min(1, most))];
  const steps = h("input", {
    type: "number",
    min: 2,
    max: 64,
    step: 1,
    value: 9,
    class: "px-short",
  });
  const fromField = field("From anchor", from, { hidden: true });
  start.addEventListener("change", () => (fromField.hidden = start.value === "code"));
  explorer.on("selected", () => {
    if (explorer.selected.length !== 2) return;
    [from.value, to.value] = explorer.selected;
    start.value = "anchor";
    fromField.hidden = false;
  });
  const display = view(explorer, "Walk");
  const strip = h("div", { class: "px-film", "aria-hidden": "true" });
  const place = range(
    { min: 0, max: 0, step: 1, value: 0, "aria-label": "Step of the walk" },
    (step) => {
      stop();
      show(step);
    },
  );
  const words = h("output", { class: "px-quiet" });
  let walk = null;
  let timer = 0;
  function show(i) {
    setRange(place, i);
    display.show(
      walk,
      partsOf(walk.frames[i]),
      `Step ${i + 1} of the walk, group ${walk.groups?.[i] ?? "unknown"}`,
    );
    [...strip.children].forEach((frame, k) => frame.toggleAttribute("data-current", k === i));
    const values = Object.entries(walk.values?.[i] ?? {}).map(
      ([name, value]) => `${criterionName(name)} ${figure(value)}`,
    );
    words.textContent = [`Step ${i + 1} of ${walk.frames.length}`, walk.groups?.[i], ...values]
      .filter(Boolean)
      .join(" \u00b7 ");
  }
  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  }
  function toggle() {
    if (timer) return stop();
    if (Number(place.value) === walk.frames.length - 1) show(0);
    play.textContent = "Pause";
    timer = setInterval(() => {
      const next = Number(place.value) + 1;
      if (next < walk.frames.length) show(next);
      if (next >= walk.frames.length - 1) stop();
    }, 250);
  }
  const play = button("Play", toggle);
  async function begin() {
    stop();
    const end = (control) => Math.floor(Number(control.value) || 0);
    const z = explorer.code;
    const body = {
      from: start.value === "code" ? z : end(from),
      to: end(to),
      steps: clamp(end(steps), 2, 64),
    };
    const answer = await explorer.ask("walk", body);
    if (!answer) return;
    walk = answer;
    const frames = walk.frames.map((frame, i) => {
      if (frame?.buffer === undefined) return h("span", {});
      const img = h("img", {
        class: "px-thumb px-pixelated",
        alt: "",
        "data-group": walk.groups?.[i],
      });
      showPng(img, walk.buffers[frame.buffer]);
      return img;
    });
    strip.replaceChildren(...frames);
    place.max = walk.frames.length - 1;
    result.hidden = false;
    play.hidden = reducedMotion();
    show(0);
    if (!reducedMotion()) toggle();
  }
  explorer.on("tool", stop);
  explorer.on("close", stop);
  const take = () =>
    explorer.change({ z: walk.codes[Number(place.value)], amounts: {}, strokes: [] });
  const steer = h("div", { class: "px-line" }, play, place, button("Start from here", take));
  const result = h(
    "div",
    { class: "px-walk", hidden: true },
    display.root,
    h("div", {}, strip, steer, words),
  );
  return h(
    "div",
    { class: "px-page" },
    h(
      "div",
      { class: "px-line" },
      field("Start", start),
      fromField,
      field("To anchor", to),
      field("Steps", steps),
      button("Walk", begin),
    ),
    h(
      "p",
      { class: "px-quiet" },
      "With two anchors selected in the plane, the walk goes from one to the other.",
    ),
    result,
  );
}

function comparePage(explorer) {
  const cards = h("div", { class: "px-cards" });
  const about = h("p", { class: "px-quiet" });
  let isOpen = false;
  let origin = null;
  async function refresh() {
    if (!isOpen) return;
    const { z, amounts, strokes } = explorer.state;
    const isAnchor =
      origin?.index !== undefined &&
      String(origin.z) === String(z) &&
      !Object.keys(amounts).length &&
      !strokes.length;
    const answer = await explorer.ask(
      "compare",
      isAnchor ? { anchor: origin.index } : { z: explorer.code },
    );
    if (!answer) return;
    const nodes = answer.models.map(({ name, group, values, error, ...shows }) => {
      const display = view(explorer, name);
      const advice = isAnchor ? "" : " An anchor may be compared: choose one to start from.";
      if (error) display.show(answer, { text: error + advice });
      else display.show(answer, shows, `What ${name} makes, group ${group ?? "unknown"}`);
      const list = Object.entries(values ?? {}).map(
        ([criterion, value]) => `${criterionName(criterion)} ${figure(value)}`,
      );
      const badge = group ? h("span", { class: "px-badge", "data-group": group }, group) : null;
      return h(
        "figure",
        {},
        display.root,
        h(
          "figcaption",
          {},
          h("b", {}, visible(name)),
          " ",
          badge,
          h("span", { class: "px-quiet" }, list.join(" \u00b7 ")),
        ),
      );
    });
    const same = isAnchor
      ? `What becomes of ${anchorText(explorer, origin.index)}`
      : "The same code";
    about.textContent = `${same}, in every model.`;
    cards.replaceChildren(...nodes);
  }
  explorer.on("origin", (answer) => (origin = answer));
  explorer.on("picture", refresh);
  explorer.on("tool", (name) => {
    isOpen = name === "compare";
    refresh();
  });
  return h("div", { class: "px-page" }, about, cards);
}

// ---------------------------------------------------------------------- the reconstruction task

// The task has sliders of its own, with ends of its own; messages carry their positions as `z`.
function taskPage(explorer) {
  const [target, now] = [view(explorer, "Target"), view(explorer, "Your picture")];
  const question = h("h2", {});
  const bar = h("div", {
    class: "px-agreement",
    role: "meter",
    "aria-label": "Agreement with the target",
    "aria-valuemin": 0,
    "aria-valuemax": 1,
  });
  const words = h("p", {});
  const live = h("p", { class: "px-hidden", "aria-live": "polite", "data-live": "task" });
  const list = h("div", { class: "px-sliders" });
  const percent = (share) => `${Math.round(100 * (share ?? 0))} %`;
  let task = null;
  let inputs = [];
  function show(answer) {
    const isNew = task?.index !== answer.index;
    task = answer;
    const { agreement, goal, index, n, over: isOver } = task;
    target.show(answer, partsOf(answer.target), "The target picture");
    now.show(answer, partsOf(answer.picture), "Your picture now");
    if (isNew) begin();
    question.textContent = `Question ${index + 1} of ${n}: make the picture like the target`;
    bar.style.setProperty("--at", percent(clamp(agreement ?? 0, 0, 1)).replace(" ", ""));
    bar.style.setProperty("--goal", percent(clamp(goal ?? 1, 0, 1)).replace(" ", ""));
    bar.toggleAttribute("data-solved", task.solved === true);
    bar.setAttribute("aria-valuenow", (agreement ?? 0).toFixed(2));
    bar.setAttribute("aria-valuetext", `${percent(agreement)}, goal ${percent(goal)}`);
    const result = task.solved ? "Solved. " : isOver ? "Skipped. " : "";
    words.textContent =
      `${result}Agreement ${percent(agreement)}, goal ${percent(goal)}.` +
      (task.done && isOver ? " This was the last question: thank you." : "");
    if (isOver) live.textContent = words.textContent;
    next.hidden = !isOver || task.done === true;
    skip.hidden = isOver;
    skip.disabled = !task.may_skip;
    inputs.forEach((input) => (input.disabled = isOver));
  }
  function begin() {
    const { positions, low, high, labels } = task;
    inputs = positions.map((position, i) => {
      const attributes = { min: low[i], max: high[i], step: "any", value: position };
      const input = range(attributes, () => step(null));
      input.addEventListener("change", () => step(i));
      input.addEventListener("keydown", (event) => nudge(event, input, i));
      return input;
    });
    list.replaceChildren(...inputs.map((input, i) => field(visible(labels[i]), input)));
  }
  // A slider of any step has no arrow keys that a hand could use: they move by a hundredth.
  function nudge(event, input, i) {
    const side = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!side) return;
    event.preventDefault();
    const [low, high] = [Number(input.min), Number(input.max)];
    setRange(input, clamp(Number(input.value) + (side * (high - low)) / 100, low, high));
    step(i);
  }
  // `axis` is the slider that was let go; while it is held, there is none.
  async function step(axis) {
    const z = inputs.map((input) => Number(input.value));
    const answer = await explorer.ask("task_step", { z, axis });
    if (answer) show(answer);
  }
  async function open(kind) {
    const answer = await explorer.ask(kind);
    if (!answer) return;
    intro.hidden = true;
    running.hidden = false;
    show(answer);
  }
  const skip = button("Skip", () => open("task_skip"), {
    title: "Once the sliders were moved for long enough",
  });
  const next = button("Next", () => open("task_start"), { class: "px-primary" });
  const intro = h(
    "div",
    { class: "px-consent" },
    h("p", {}, explorer.info.consent ?? ""),
    button("I agree: start", () => open("task_start"), { class: "px-primary" }),
  );
  const pictures = h(
    "div",
    { class: "px-stage", "data-mode": "side" },
    h("figure", {}, target.root, h("figcaption", {}, "Target")),
    h("figure", {}, now.root, h("figcaption", {}, "Your picture")),
  );
  const running = h(
    "div",
    { class: "px-task", hidden: true },
    question,
    pictures,
    bar,
    words,
    list,
    h("div", { class: "px-line" }, skip, next),
    live,
  );
  return h("div", { class: "px-page" }, intro, running);
}

// ---------------------------------------------------------------------- toolbar

function toolbar(explorer, title) {
  const { info } = explorer;
  const note = h("span", { class: "px-quiet", role: "status" });
  const text = h("textarea", {
    rows: 5,
    spellcheck: "false",
    "aria-label": "Text to copy, or a state to restore",
  });
  const restore = button("Restore this state", async () => {
    let state;
    try {
      state = JSON.parse(text.value);
    } catch {
      return tell("This is not a state: it is not JSON.");
    }
    const answer = await explorer.ask("restore", { state });
    if (!answer) return;
    box.hidden = true;
    const { z, amounts, strokes, model } = answer;
    which.value = explorer.modelIndex = model ?? 0;
    await explorer.change({ z, amounts, strokes });
    if (state.selected) await explorer.select(state.selected);
    tell("State restored.");
  });
  const box = h(
    "div",
    { class: "px-output", hidden: true },
    text,
    h(
      "div",
      { class: "px-line" },
      restore,
      button("Close", () => (box.hidden = true)),
    ),
  );
  let timer = 0;
  function tell(words) {
    note.textContent = words;
    clearTimeout(timer);
    timer = setTimeout(() => (note.textContent = ""), 5000);
  }
  // Where a frame may not use the clipboard, the text is shown, selected.
  async function copy(words, name) {
    try {
      await navigator.clipboard.writeText(words);
      tell(`${name} copied.`);
    } catch {
      openBox(words);
      tell(`Copy the ${name.toLowerCase()} from the box.`);
    }
  }
  function openBox(words) {
    text.value = words;
    box.hidden = false;
    text.focus();
    text.select();
  }
  async function copyPython() {
    const { state, modelIndex: model, answer: last } = explorer;
    const answer = state.z.length ? await explorer.ask("python", { ...state, model }) : last;
    if (answer?.python) await copy(answer.python, "Python");
    else if (answer) tell("There is no line of Python for what is shown.");
  }
  async function copyState() {
    const answer = await explorer.ask("state");
    if (answer)
      await copy(
        typeof answer.state === "string" ? answer.state : JSON.stringify(answer.state, null, 1),
        "State",
      );
  }
  async function savePage() {
    const axes = info.axes.filter((axis) => axis.shown).map((axis) => axis.index);
    const answer = await explorer.ask("save_page", { axes });
    if (!answer) return;
    download(answer.html, "text/html", "explorer.html");
    tell("Page saved: it opens without a server.");
  }
  const undo = button("Undo", () => explorer.undo(), { disabled: true, title: "Ctrl+Z" });
  const reset = button("Reset all", () => explorer.change({ amounts: {}, strokes: [] }));
  explorer.on("history", () => (undo.disabled = explorer.history.length < 2));
  explorer.root.addEventListener("keydown", (event) => {
    const isUndo =
      (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z";
    if (!isUndo || event.target.matches("textarea, input:not([type=range]):not([type=radio])"))
      return;
    event.preventDefault();
    explorer.undo();
  });
  const { models } = info;
  const options = models.map((name, i) => h("option", { value: i }, visible(name)));
  const which = h("select", {}, ...options);
  // A model that cannot decode this code, for its codes have another size, starts from its own.
  which.addEventListener("change", async () => {
    explorer.modelIndex = Number(which.value);
    if (!(await explorer.decode())) await explorer.sample(0);
    const size = info.shape.reduce((product, side) => product * side, 1);
    explorer.fire("axes", explorer.state.z.length === size);
  });
  const head = h(
    "header",
    { class: "px-head" },
    title,
    models.length > 1 ? field("Model", which) : null,
    note,
    h(
      "div",
      { class: "px-actions", role: "group", "aria-label": "Actions" },
      undo,
      reset,
      button("Copy as Python", copyPython),
      button("Copy state", copyState),
      button("Restore state", () => openBox("")),
      button("Save page", savePage),
    ),
  );
  return h("div", {}, head, box);
}

// ---------------------------------------------------------------------- render

// In a notebook "auto" follows the notebook's own theme, which the system's need not be.
function themeOf(theme) {
  if (theme === "light" || theme === "dark") return theme;
  const { jpThemeLight, vscodeThemeKind } = document.body.dataset;
  if (jpThemeLight !== undefined) return jpThemeLight === "true" ? "light" : "dark";
  if (vscodeThemeKind !== undefined) return vscodeThemeKind.includes("light") ? "light" : "dark";
  return "auto";
}

function toolPages(explorer) {
  const { tools, paint, models, anchors, data } = explorer.info;
  const pages = [];
  const add = (name, title, make, isPossible) => {
    if (tools.includes(name) && isPossible) pages.push({ name, title, body: make(explorer) });
  };
  add("paint", "Paint", paintPage, paint?.layers.length && data.kind === "image");
  add("walk", "Walk", walkPage, anchors?.n > 1);
  add("compare", "Two models", comparePage, models.length > 1);
  add("task", "Task", taskPage, true);
  return pages;
}

function layout(explorer) {
  const { axes, plane, tools } = explorer.info;
  const panels = h("div", { class: "px-panels" });
  const isAll = !explorer.isTaskAlone;
  if (isAll) {
    const steer = h("div", { class: "px-column px-steer" });
    if (axes?.length && tools.includes("sliders")) steer.append(slidersPanel(explorer));
    steer.append(startPanel(explorer));
    panels.append(picturePanel(explorer), verdict(explorer), steer);
  }
  const pages = toolPages(explorer);
  if (pages.length) {
    const { list, show } = tabs("Tools", pages, (name) => explorer.fire("tool", name));
    const bodies = pages.map(({ body }) => body);
    panels.append(h("section", { class: "px-tools", "aria-label": "Tools" }, list, ...bodies));
    show(0);
  }
  if (isAll) {
    const evidence = h("div", { class: "px-column px-evidence" });
    if (plane && tools.includes("groups")) evidence.append(planePanel(explorer));
    evidence.append(nearestPanel(explorer));
    panels.append(evidence);
  } else panels.classList.add("px-alone");
  return panels;
}

function render({ model, el }) {
  const alert = h("div", { class: "px-alert", role: "alert", hidden: true });
  const main = h(
    "div",
    { class: "px-main", "aria-busy": "true" },
    h("p", { class: "px-quiet" }, "The model is opening."),
  );
  // JupyterLab leaves keys alone below this attribute, other hosts when they do not hear of them.
  const attributes = { class: "px-explorer", "data-lm-suppress-shortcuts": "true" };
  const root = h("div", attributes, alert, main);
  root.addEventListener("keydown", (event) => event.stopPropagation());
  el.replaceChildren(root);
  const explorer = new Explorer(model, root);
  const busy = new Set();
  let complaint = null; // the kind of request that failed last; it goes with the next good picture
  const say = (text, ...more) => {
    alert.replaceChildren(h("span", {}, text), ...more);
    alert.hidden = !text;
  };
  const status = {
    asking: (n) => root.toggleAttribute("data-asking", n > 0),
    busy(kind, isBusy) {
      if (isBusy) busy.add(kind);
      else busy.delete(kind);
      root.toggleAttribute("data-busy", busy.size > 0);
      main.setAttribute("aria-busy", String(busy.size > 0));
    },
    error(text, kind) {
      if (text) complaint = kind;
      if (text || kind === complaint || kind === "decode") say(text);
    },
    late(isLate) {
      if (!isLate) return alert.querySelector("button") && say("");
      const again = button("Try again", () => {
        explorer.requests.forget();
        explorer.info ? explorer.decode() : open();
      });
      return say(
        "No answer for 30 seconds: the model is slow, or its Python process has ended. ",
        again,
      );
    },
  };
  explorer.requests = new Requests(model, status);

  async function open() {
    const answer = await explorer.ask("open");
    if (!answer) return;
    explorer.info = answer.info ? { ...answer.info, buffers: answer.buffers } : answer;
    explorer.thumbnails = new Thumbnails(explorer);
    followTheme();
    explorer.selected = model.get("selected") ?? [];
    const title = h("h1", {}, visible(explorer.info.title || "Explorer"));
    const head = explorer.isTaskAlone
      ? h("header", { class: "px-head" }, title)
      : toolbar(explorer, title);
    main.replaceChildren(head, layout(explorer));
    explorer.fire("selected", null);
    if (!explorer.isTaskAlone) await begin(model.get("code") ?? []);
    root.dataset.ready = "";
  }

  async function begin(code) {
    if (code.length) await explorer.change({ z: [...code] });
    else if (explorer.info.axes?.length) await explorer.sample(0);
    else if (explorer.info.anchors?.n) await explorer.startFromAnchor(0);
  }

  const followTheme = () => {
    const own = model.get("theme");
    root.dataset.theme = themeOf(own && own !== "auto" ? own : explorer.info?.theme);
    explorer.fire("theme");
  };
  const followCode = () => {
    const code = model.get("code") ?? [];
    if (
      !explorer.info ||
      explorer.isTaskAlone ||
      !code.length ||
      JSON.stringify(code) === explorer.sentCode
    )
      return;
    explorer.change({ z: [...code], amounts: {}, strokes: [] });
  };
  const followSelected = () => {
    const selected = model.get("selected") ?? [];
    if (!explorer.info || String(selected) === String(explorer.selected)) return;
    explorer.selected = [...selected];
    explorer.fire("selected", null);
  };
  const followers = {
    "change:theme": followTheme,
    "change:code": followCode,
    "change:selected": followSelected,
  };
  for (const [name, listener] of Object.entries(followers)) model.on(name, listener);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", followTheme);
  followTheme();
  open();
  return () => {
    explorer.fire("close");
    explorer.requests.close();
    for (const [name, listener] of Object.entries(followers)) model.off(name, listener);
    dark.removeEventListener("change", followTheme);
  };
}

export default { initialize() {}, render };
