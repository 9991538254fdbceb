// The plot of the report: hover, brush, thresholds. It reads the data block and fetches nothing.
document.documentElement.classList.add("scripted");
const $ = (id) => document.getElementById(id);
const { points, pictures } = JSON.parse($("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const INVALID = 65535;
const PAGE = 48;

function decode(text, Type) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new Type(bytes.buffer);
}

const criteria = points.criteria.map((c) => ({ ...c, codes: decode(c.codes, Uint16Array), audited: c.cut }));
const audited = decode(points.group, Uint8Array);
const count = audited.length;
const group = audited.slice();
const label = points.label && decode(points.label, Uint16Array);
const stability = points.stability && decode(points.stability, Uint8Array);
const index = points.index && decode(points.index, Uint32Array);
const held = new Map(pictures.indices.map((anchor, place) => [anchor, place]));
const anchorOf = (i) => (index ? index[i] : i);
const kinds = ["intrinsic", "extrinsic"];
const state = { x: 0, y: 0, log: false, cursor: -1, corner: null, brush: null, chosen: [], shown: PAGE, drag: null };
state.x = criteria.findIndex((c) => c.kind === "intrinsic");
state.y = criteria.findIndex((c) => c.kind === "extrinsic");

// Values and codes: see Axis in points.py.
const asinhOf = (c, code) => c.origin + (code + 0.5) * c.step;
const valueOf = (c, code) => c.scale * Math.sinh(asinhOf(c, code));
const edgeOf = (c) => (c.cut === c.audited && c.threshold !== null ? c.threshold : c.scale * Math.sinh(c.origin + c.cut * c.step));
const codeOf = (c, value) => Math.min(INVALID - 1, Math.max(0, Math.round((Math.asinh(value / c.scale) - c.origin) / c.step)));

function tell(value) {
  if (!Number.isFinite(value)) return "n/a";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-4)) return value.toExponential(2);
  return size >= 1000 ? value.toLocaleString("en", { maximumFractionDigits: 0 }) : value.toPrecision(3).replace(/\.$/, "");
}
const tickText = (value) => (Math.abs(value) >= 1e6 || (value && Math.abs(value) < 1e-4) ? value.toExponential() : String(Number(value.toPrecision(6))));

function percent(share) { // rounds as Python does, or the audited column would differ in a tie
  if (Number.isNaN(share)) return "n/a";
  if (share === 0 || share === 1) return 100 * share + " %";
  if (share < 0.0005) return "<0.1 %";
  if (share > 0.9995) return ">99.9 %";
  const shown = 100 * share; // toFixed rounds a tie up, Python to the even digit
  return (shown % 1 === 0.25 ? shown - 0.05 : shown).toFixed(1) + " %";
}

function wilson(k, n) {
  if (!n) return [0, 1];
  const z = 1.959963984540054, p = k / n;
  const centre = p + (z * z) / (2 * n), half = z * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n)), width = 1 + (z * z) / n;
  return [k === 0 ? 0 : (centre - half) / width, k === n ? 1 : (centre + half) / width];
}

// Groups at the current thresholds; at the audited ones they are the audited groups.
function regroup() {
  if (criteria.every((c) => c.cut === c.audited)) return void group.set(audited);
  const low = kinds.map((kind) => {
    const of = criteria.filter((c) => c.kind === kind);
    if (points.rule === "mean" && of.length > 1) {
      return (i) => !(of.reduce((sum, c) => sum + (valueOf(c, c.codes[i]) - edgeOf(c)) / c.spread, 0) < 0);
    }
    if (of.length === 1) { const [c] = of; return (i) => c.codes[i] >= c.cut; }
    return points.rule === "any" ? (i) => of.every((c) => c.codes[i] >= c.cut) : (i) => of.some((c) => c.codes[i] >= c.cut);
  });
  for (let i = 0; i < count; i++) if (audited[i] < 4) group[i] = 2 * low[0](i) + low[1](i);
}

function tally() {
  const counts = [0, 0, 0, 0, 0];
  for (let i = 0; i < points.n_sample; i++) counts[group[i]]++;
  points.groups.forEach((name, k) => {
    const row = document.querySelector(`[data-row="${name}"]`);
    if (!row) return;
    const [low, high] = wilson(counts[k], points.n_sample);
    row.querySelector(".now").textContent = percent(counts[k] / points.n_sample);
    row.querySelector(".range").textContent = `${percent(low)} to ${percent(high)}`;
    row.dataset.count = counts[k];
  });
  const rounded = (value, digits, up) => {
    const unit = 10 ** (Math.floor(Math.log10(Math.abs(value) || 1)) - digits + 1);
    return Number(((up ? Math.ceil : Math.floor)(value / unit) * unit).toPrecision(digits));
  };
  // as conditions are judged: an anchor without a group may belong to any
  const share = (k, up) => Math.min(1, (up ? Math.ceil : Math.floor)(1e4 * wilson(counts[k] + (up ? counts[4] : 0), points.n_sample)[up]) / 1e4);
  const bare = /^\w+$/;
  const lines = criteria.filter((c) => bare.test(c.name)).map((c) => `threshold.${c.name} <= ${rounded(edgeOf(c) + c.slack, 4, true)}`);
  lines.push(`HIHE.fraction >= ${share(0, 0)}`, `HILE.fraction <= ${share(1, 1)}`);
  $("yaml").value = "conditions:\n" + lines.map((line) => `  - ${JSON.stringify(line)}\n`).join("");
  $("yaml").rows = lines.length + 2;
  $("copied").textContent = "";
}

// Scales: pixel positions come from a table over all codes.
const canvas = $("canvas"), pen = canvas.getContext("2d");
const layer = document.createElement("canvas"), ink = layer.getContext("2d", { willReadFrequently: true });
const edges = { left: 64, right: 14, top: 12, bottom: 46 };
let wide = 0, high = 0, ratio = 1, colours = {}, px = new Float32Array(count), py = new Float32Array(count), scales = [];
const CELL = 12;
let heads, links, across;

function scale(c, from, to) {
  let low = INVALID, top = 0;
  for (const code of c.codes) if (code !== INVALID) { if (code < low) low = code; if (code > top) top = code; }
  low = Math.min(low, c.cut, c.audited); top = Math.max(top, c.cut, c.audited);
  const bend = state.log ? (v) => Math.asinh(v / c.scale) : (v) => v;
  const unbend = state.log ? (u) => c.scale * Math.sinh(u) : (u) => u;
  let a = bend(valueOf(c, low)), b = bend(valueOf(c, top));
  const pad = 0.04 * (b - a) || 1; a -= pad; b += pad;
  const place = (v) => from + ((bend(v) - a) / (b - a)) * (to - from);
  const invert = (p) => unbend(a + ((p - from) / (to - from)) * (b - a));
  const table = new Float32Array(INVALID + 1);
  for (let code = low; code <= top; code++) table[code] = place(valueOf(c, code));
  table[INVALID] = NaN;
  return { place, invert, table, ticks: ticks(unbend(a), unbend(b), place, c) };
}

function ticks(a, b, place, c) {
  let candidates = [];
  if (state.log) {
    const least = Math.floor(Math.log10(c.scale)) - 1, most = Math.ceil(Math.log10(Math.max(Math.abs(a), Math.abs(b), 1e-300)));
    candidates = [0];
    for (const m of [1, 2, 5]) for (let e = least; e <= most; e++) candidates.push(m * 10 ** e, -m * 10 ** e);
  } else {
    const raw = (b - a) / 7, unit = 10 ** Math.floor(Math.log10(raw));
    const step = unit * [1, 2, 5, 10].find((m) => m * unit >= raw);
    for (let k = Math.ceil(a / step); k * step <= b; k++) candidates.push(k * step);
  }
  const kept = [];
  for (const value of candidates) {
    const at = place(value);
    if (value >= a && value <= b && kept.every((t) => Math.abs(t.at - at) > 44)) kept.push({ value, at });
  }
  return kept;
}

function layout() {
  const box = canvas.getBoundingClientRect();
  ratio = Math.min(2, window.devicePixelRatio || 1);
  wide = Math.max(200, Math.round(box.width)); high = Math.max(200, Math.round(box.height));
  for (const one of [canvas, layer]) { one.width = wide * ratio; one.height = high * ratio; }
  place();
}

function place() {
  const cx = criteria[state.x], cy = criteria[state.y];
  scales = [scale(cx, edges.left, wide - edges.right), scale(cy, high - edges.bottom, edges.top)];
  across = Math.ceil(wide / CELL);
  heads = new Int32Array(across * Math.ceil(high / CELL)).fill(-1); links = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    px[i] = scales[0].table[cx.codes[i]]; py[i] = scales[1].table[cy.codes[i]];
    if (Number.isNaN(px[i] + py[i])) continue;
    const cell = Math.floor(py[i] / CELL) * across + Math.floor(px[i] / CELL);
    links[i] = heads[cell]; heads[cell] = i;
  }
  paint();
}

function readColours() {
  const style = getComputedStyle(document.documentElement);
  colours = Object.fromEntries(["bg", "ink", "quiet", "line", "accent", ...points.groups].map((k) => [k, style.getPropertyValue("--" + k).trim()]));
}

// All points once, on a canvas that is not shown; hovering only copies it.
function paint() {
  ink.setTransform(ratio, 0, 0, ratio, 0, 0);
  ink.fillStyle = colours.bg; ink.fillRect(0, 0, wide, high);
  ink.strokeStyle = colours.line; ink.fillStyle = colours.quiet; ink.lineWidth = 1;
  ink.font = "12px system-ui, sans-serif";
  ink.beginPath();
  for (const t of scales[0].ticks) { ink.moveTo(Math.round(t.at) + 0.5, edges.top); ink.lineTo(Math.round(t.at) + 0.5, high - edges.bottom); }
  for (const t of scales[1].ticks) { ink.moveTo(edges.left, Math.round(t.at) + 0.5); ink.lineTo(wide - edges.right, Math.round(t.at) + 0.5); }
  ink.stroke();
  ink.textAlign = "center"; ink.textBaseline = "top";
  for (const t of scales[0].ticks) ink.fillText(tickText(t.value), t.at, high - edges.bottom + 6);
  ink.textAlign = "right"; ink.textBaseline = "middle";
  for (const t of scales[1].ticks) ink.fillText(tickText(t.value), edges.left - 7, t.at);
  ink.fillStyle = colours.ink; ink.textAlign = "center"; ink.textBaseline = "alphabetic";
  ink.fillText(`intrinsic: ${criteria[state.x].text}`, (edges.left + wide - edges.right) / 2, high - 8);
  ink.save(); ink.translate(14, (edges.top + high - edges.bottom) / 2); ink.rotate(-Math.PI / 2);
  ink.fillText(`extrinsic: ${criteria[state.y].text}`, 0, 0); ink.restore();
  stamp();
  show();
}

function stamp() {
  const radius = (count < 2000 ? 4 : count < 10000 ? 3 : count < 40000 ? 2.2 : 1.7) * ratio;
  const alpha = count < 2000 ? 0.85 : count < 10000 ? 0.7 : 0.55;
  const side = 2 * Math.ceil(radius) + 1, offsets = [], weights = [], w = layer.width, h = layer.height;
  for (let dy = -Math.ceil(radius); dy <= Math.ceil(radius); dy++) for (let dx = -Math.ceil(radius); dx <= Math.ceil(radius); dx++) {
    const cover = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(dx, dy)));
    if (cover > 0.05) { offsets.push(4 * (dy * w + dx)); weights.push(Math.round(256 * alpha * cover)); }
  }
  const image = ink.getImageData(0, 0, w, h), out = image.data, n = offsets.length;
  const rgb = points.groups.map((name) => [1, 3, 5].map((at) => parseInt(full(colours[name]).slice(at, at + 2), 16)));
  let stride = Math.floor(count * 0.618) | 1;
  while (count > 1 && gcd(stride, count) !== 1) stride++;
  for (let k = 0, i = 0; k < count; k++, i = (i + stride) % count) { // no group hides another by coming last
    const x = Math.round(px[i] * ratio), y = Math.round(py[i] * ratio);
    if (!(x >= side && y >= side && x < w - side && y < h - side)) continue;
    const [r, g, b] = rgb[group[i]], at = 4 * (y * w + x);
    for (let o = 0; o < n; o++) {
      const p = at + offsets[o], a = weights[o];
      out[p] += ((r - out[p]) * a) >> 8; out[p + 1] += ((g - out[p + 1]) * a) >> 8; out[p + 2] += ((b - out[p + 2]) * a) >> 8;
    }
  }
  ink.putImageData(image, 0, 0);
}
const gcd = (a, b) => (b ? gcd(b, a % b) : a);
const full = (hex) => (hex.length === 4 ? "#" + [...hex.slice(1)].map((d) => d + d).join("") : hex);

// What moves: lines, rectangle, cursor.
function show() {
  pen.setTransform(1, 0, 0, 1, 0, 0); pen.drawImage(layer, 0, 0);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  const [lx, ly] = lines();
  pen.strokeStyle = colours.ink; pen.lineWidth = 1.5; pen.setLineDash([6, 4]);
  pen.beginPath(); pen.moveTo(lx, edges.top); pen.lineTo(lx, high - edges.bottom);
  pen.moveTo(edges.left, ly); pen.lineTo(wide - edges.right, ly); pen.stroke(); pen.setLineDash([]);
  pen.fillStyle = colours.ink;
  for (const [x, y] of [[lx, edges.top], [wide - edges.right, ly]]) { pen.beginPath(); pen.arc(x, y, 5, 0, 7); pen.fill(); }
  pen.font = "600 12px system-ui, sans-serif"; pen.textBaseline = "alphabetic";
  const [left, right, top, bottom] = [edges.left + 8, wide - edges.right - 12, edges.top + 16, high - edges.bottom - 8];
  for (const [name, x, y, align] of criteria.length > 2 ? [] : [["HIHE", left, bottom, "left"], ["HILE", left, top, "left"], ["LIHE", right, bottom, "right"], ["LILE", right, top, "right"]]) {
    pen.textAlign = align; pen.lineWidth = 4; pen.lineJoin = "round"; pen.strokeStyle = colours.bg;
    pen.strokeText(name, x, y); pen.fillText(name, x, y);
  }
  pen.lineWidth = 2; pen.strokeStyle = colours.ink;
  for (const i of state.chosen.slice(0, state.shown)) ring(i, 5);
  const box = state.brush;
  if (box) {
    pen.globalAlpha = 0.14; pen.fillStyle = colours.accent; pen.fillRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
    pen.globalAlpha = 1; pen.strokeStyle = colours.accent; pen.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
  }
  if (state.cursor >= 0) { pen.strokeStyle = colours.accent; pen.lineWidth = 3; ring(state.cursor, 8); }
  canvas.dataset.lines = `${lx.toFixed(1)} ${ly.toFixed(1)}`;
}
function ring(i, radius) { if (px[i] >= 0) { pen.beginPath(); pen.arc(px[i], py[i], radius, 0, 7); pen.stroke(); } }
const lines = () => [scales[0].place(edgeOf(criteria[state.x])), scales[1].place(edgeOf(criteria[state.y]))];

function nearest(x, y, reach) {
  let best = -1, least = reach * reach;
  const rows = heads.length / across, col = Math.floor(x / CELL), row = Math.floor(y / CELL), span = Math.ceil(reach / CELL);
  for (let r = Math.max(0, row - span); r <= Math.min(rows - 1, row + span); r++) {
    for (let c = Math.max(0, col - span); c <= Math.min(across - 1, col + span); c++) {
      for (let i = heads[r * across + c]; i >= 0; i = links[i]) {
        const far = (px[i] - x) ** 2 + (py[i] - y) ** 2;
        if (far < least) { least = far; best = i; }
      }
    }
  }
  return best;
}

function make(tag, name, text) {
  const one = document.createElement(tag);
  if (name) one.className = name;
  if (text !== undefined) one.textContent = text;
  return one;
}

function card(i) {
  const anchor = anchorOf(i), at = held.get(anchor), one = make("figure", "card"), pair = make("div", "pair"), caption = make("figcaption");
  const name = points.groups[group[i]];
  one.dataset.group = name;
  if (at !== undefined && pictures.width) {
    for (let k = 0; k < pictures.each; k++) {
      const cell = at * pictures.each + k, sheet = Math.floor(cell / (pictures.columns * pictures.rows)), on = cell % (pictures.columns * pictures.rows);
      const view = document.createElementNS(SVG, "svg"), use = document.createElementNS(SVG, "use");
      view.setAttribute("class", "pic"); view.setAttribute("role", "img");
      view.setAttribute("aria-label", `${k ? "reconstruction of anchor" : "anchor"} ${anchor}`);
      view.setAttribute("viewBox", `${(on % pictures.columns) * pictures.width} ${Math.floor(on / pictures.columns) * pictures.height} ${pictures.width} ${pictures.height}`);
      use.setAttribute("href", `#sheet${sheet}`); view.append(use); pair.append(view);
    }
  } else if (at !== undefined && pictures.texts.length) {
    const [text, rebuilt] = pictures.texts[at];
    pair.append(make("p", "words", text));
    if (rebuilt !== null) pair.append(make("p", "words rebuilt", rebuilt));
  } else pair.append(make("span", "nothing", "no picture"));
  const tag = make("span", "tag", name); tag.dataset.group = name;
  caption.append(tag, " ");
  if (label) caption.append(make("bdi", "label", points.labels[label[i]]));
  caption.append(" ", make("span", "quiet", `#${anchor}`));
  if (at !== undefined && pictures.ids) caption.append(" ", make("bdi", "quiet id", pictures.ids[at]));
  const values = make("span", "quiet values");
  for (const c of criteria) values.append(make("bdi", "", `${c.shown} ${tell(valueOf(c, c.codes[i]))}`), " ");
  if (stability && stability[i] <= 100) values.append(make("bdi", "", `stability ${stability[i]} %`));
  caption.append(values);
  one.append(pair, caption);
  return one;
}

function point(i, spoken) {
  state.cursor = i;
  const tip = $("tip");
  tip.hidden = i < 0;
  if (i >= 0) {
    const one = card(i);
    tip.replaceChildren(one);
    tip.style.left = `${Math.max(0, Math.min(px[i] + 14, wide - tip.offsetWidth - 4))}px`;
    tip.style.top = `${py[i] + 14 + tip.offsetHeight > high ? Math.max(0, py[i] - tip.offsetHeight - 14) : py[i] + 14}px`;
    if (spoken) $("status").textContent = `Anchor ${one.querySelector("figcaption").textContent}`;
  }
  show();
}

function choose(chosen) {
  const rank = (i) => (held.has(anchorOf(i)) ? 0 : 1);
  state.chosen = chosen.sort((a, b) => rank(a) - rank(b) || a - b); state.shown = PAGE;
  fill();
}

function fill() {
  const n = state.chosen.length, withPicture = state.chosen.reduce((sum, i) => sum + held.has(anchorOf(i)), 0);
  $("selection").hidden = n === 0;
  const words = `${n.toLocaleString("en")} selected, ${withPicture.toLocaleString("en")} with pictures in this file`;
  $("selected").textContent = words; $("status").textContent = n ? words : "Nothing selected";
  $("grid").replaceChildren(...state.chosen.slice(0, state.shown).map(card));
  $("more").hidden = state.shown >= n;
  show();
}

function brush([ax, ay, bx, by]) {
  const [l, r, t, b] = [Math.min(ax, bx), Math.max(ax, bx), Math.min(ay, by), Math.max(ay, by)], found = [];
  for (let i = 0; i < count; i++) if (px[i] >= l && px[i] <= r && py[i] >= t && py[i] <= b) found.push(i);
  choose(found);
}

let waiting = false;
function recut() { // at most once per frame
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; regroup(); tally(); paint(); fields(); if (state.chosen.length) fill(); });
}

function cut(c, code) { c.cut = Math.min(INVALID - 1, Math.max(0, Math.round(code))); recut(); }

function fields() {
  for (const c of criteria) {
    if (c.slide !== document.activeElement || Number(c.slide.value) !== c.cut) c.slide.value = c.cut;
    if (c.field !== document.activeElement) c.field.value = Number(edgeOf(c).toPrecision(4));
    c.slide.setAttribute("aria-valuetext", `${c.shown} ${tell(edgeOf(c))}`);
  }
}

function controls() {
  for (const [select, kind, axis] of [[$("across"), "intrinsic", "x"], [$("up"), "extrinsic", "y"]]) {
    criteria.forEach((c, j) => { if (c.kind === kind) { const one = make("option", "", c.shown); one.value = j; select.append(one); } });
    select.addEventListener("change", () => { state[axis] = Number(select.value); point(-1); place(); });
    select.parentElement.hidden = select.options.length < 2;
  }
  for (const [j, c] of criteria.entries()) {
    const row = make("label", "threshold"); c.slide = make("input"); c.field = make("input");
    c.slide.type = "range"; c.slide.min = 0; c.slide.max = 65530; c.slide.step = 1; c.slide.id = `slide${j}`;
    c.field.type = "number"; c.field.step = "any"; c.field.id = `field${j}`; c.field.setAttribute("aria-label", `threshold of ${c.shown}`);
    row.append(make("bdi", "", c.text), c.field, c.slide);
    c.slide.addEventListener("input", () => cut(c, Number(c.slide.value)));
    c.slide.addEventListener("keydown", (event) => { // one step of 65,530 would move nothing visible
      const way = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
      if (way) { event.preventDefault(); cut(c, c.cut + way * 330); }
    });
    c.field.addEventListener("change", () => { if (c.field.value !== "") cut(c, codeOf(c, Number(c.field.value))); });
    $("thresholds").append(row);
  }
  $("log").addEventListener("change", () => { state.log = $("log").checked; point(-1); state.brush = null; place(); });
  $("reset").addEventListener("click", () => { for (const c of criteria) c.cut = c.audited; recut(); });
  $("more").addEventListener("click", () => { state.shown += PAGE; fill(); });
  $("clear").addEventListener("click", () => { state.brush = null; choose([]); canvas.focus(); });
  $("copy").addEventListener("click", async () => {
    let done = true;
    try { await navigator.clipboard.writeText($("yaml").value); } catch { $("yaml").select(); done = document.execCommand("copy"); }
    $("copied").textContent = done ? "Copied" : "Copy it from the field";
  });
}

const near = (x, y, reach) => { const [lx, ly] = lines(); return Math.abs(x - lx) <= reach ? "x" : Math.abs(y - ly) <= reach ? "y" : null; };
function pull(axis, x, y) {
  const c = criteria[state[axis]], s = scales[axis === "x" ? 0 : 1];
  const from = axis === "x" ? edges.left : edges.top, to = axis === "x" ? wide - edges.right : high - edges.bottom;
  cut(c, codeOf(c, s.invert(Math.min(to, Math.max(from, axis === "x" ? x : y)))));
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  const { offsetX: x, offsetY: y } = event, axis = near(x, y, event.pointerType === "touch" ? 16 : 6);
  canvas.setPointerCapture(event.pointerId); point(-1);
  state.drag = axis ? { axis } : { x, y };
  if (!axis) state.brush = [x, y, x, y];
});
canvas.addEventListener("pointermove", (event) => {
  const { offsetX: x, offsetY: y } = event, drag = state.drag;
  if (drag?.axis) pull(drag.axis, x, y);
  else if (drag) { state.brush = [drag.x, drag.y, x, y]; show(); }
  else {
    const axis = near(x, y, 6);
    canvas.style.cursor = axis ? (axis === "x" ? "ew-resize" : "ns-resize") : "crosshair";
    const found = axis ? -1 : nearest(x, y, 12);
    if (found !== state.cursor) point(found);
  }
});
canvas.addEventListener("pointerup", (event) => {
  const drag = state.drag; state.drag = null;
  if (!drag || drag.axis) return;
  if (Math.hypot(event.offsetX - drag.x, event.offsetY - drag.y) > 4) return brush(state.brush);
  state.brush = null;
  const found = nearest(drag.x, drag.y, 12);
  choose(found < 0 ? [] : [found]);
});
canvas.addEventListener("pointercancel", () => { state.drag = null; state.brush = null; show(); });
canvas.addEventListener("pointerleave", () => { if (!state.drag) point(-1); });

const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
canvas.addEventListener("keydown", (event) => {
  const way = WAYS[event.key], key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (way && event.shiftKey) {
    const axis = way[0] ? "x" : "y", [lx, ly] = lines();
    pull(axis, lx + 8 * way[0], ly + 8 * way[1]);
  } else if (way) step(way);
  else if (key === "enter" && state.cursor >= 0) {
    const at = state.cursor, left = state.chosen.filter((i) => i !== at);
    choose(left.length === state.chosen.length ? [...left, at] : left);
  } else if (key === "b" && state.cursor >= 0) {
    const here = [px[state.cursor], py[state.cursor]];
    if (!state.corner) state.corner = here;
    else { brush([...state.corner, ...here]); state.corner = null; }
  } else if (key === "escape") { state.brush = null; state.corner = null; point(-1); choose([]); } else return;
  event.preventDefault();
});

function step([dx, dy]) {
  const fresh = state.cursor < 0, x = fresh ? wide / 2 : px[state.cursor], y = fresh ? high / 2 : py[state.cursor];
  let best = -1, least = Infinity;
  for (let i = 0; i < count; i++) {
    const ahead = (px[i] - x) * dx + (py[i] - y) * dy, aside = Math.abs((px[i] - x) * dy) + Math.abs((py[i] - y) * dx);
    const cost = fresh ? Math.hypot(px[i] - x, py[i] - y) : ahead > 3 ? ahead + 2 * aside : Infinity;
    if (cost < least) { least = cost; best = i; }
  }
  if (best < 0) return;
  if (state.corner) state.brush = [...state.corner, px[best], py[best]];
  point(best, true);
}

controls(); readColours(); tally(); layout(); fields();
new ResizeObserver(() => { if (Math.abs(canvas.getBoundingClientRect().width - wide) > 1) { point(-1); state.brush = null; layout(); } }).observe($("plot"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); paint(); });
for (const [name, printing] of [["beforeprint", true], ["afterprint", false]]) {
  addEventListener(name, () => { document.documentElement.classList.toggle("printing", printing); readColours(); paint(); });
}
document.documentElement.dataset.ready = "";
