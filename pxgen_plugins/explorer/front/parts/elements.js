// The explorer: sliders, painting and PXGen's plane on one generative model.
//
// One ES module for two hosts that give the same `model` (anywidget's AFM: get, set, on, off,
// save_changes, send): a notebook, and page.js for a browser. All logic of the model is in Python;
// this module asks by messages, shows the answers, and fetches nothing. It is the files of this
// folder one after the other, in the order that front_end.py names; they share one scope.

// Elements, and words for values.

const GROUP_WORDS = {
  HIHE: "close in both",
  HILE: "model delusion",
  LIHE: "aligned conception",
  LILE: "far in both",
};

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
  if (size < 1e-300) return "0"; // some thresholds are the least number above it
  const text =
    size < 1e-4 || size >= 1e6
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
