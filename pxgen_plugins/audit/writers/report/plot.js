// The plot of the report: anchors as points on a canvas, thresholds as lines, groups as colours.
// plot.js, cards.js and main.js are one script, in this order. It fetches nothing.
document.documentElement.classList.add("scripted");
const byId = (id) => document.getElementById(id);
const { points, pictures } = JSON.parse(byId("data").textContent);
const INVALID = 65535; // the code of a value that is not finite
const INVALID_GROUP = 4;
const PAGE = 48; // cards that are added at once

function decode(text, Type) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new Type(bytes.buffer);
}

// Columns over the points; a point is named by its row in them.
const criteria = points.criteria.map((criterion) => ({
  ...criterion,
  codes: decode(criterion.codes, Uint16Array),
  auditCut: criterion.cut,
}));
const auditGroup = decode(points.group, Uint8Array);
const count = auditGroup.length;
const group = auditGroup.slice(); // at the thresholds of this moment
const label = points.label && decode(points.label, Uint16Array);
const stability = points.stability && decode(points.stability, Uint8Array);
const anchorIndex = points.index && decode(points.index, Uint32Array);
const anchorOf = (point) => (anchorIndex ? anchorIndex[point] : point);

const state = {
  x: criteria.findIndex((criterion) => criterion.kind === "intrinsic"),
  y: criteria.findIndex((criterion) => criterion.kind === "extrinsic"),
  log: false,
  cursor: -1, // the point under the pointer, or reached by keys
  corner: null, // where a rectangle that is drawn by keys begins
  brush: null, // a rectangle: two opposite corners, in pixels
  selection: [],
  nCards: PAGE,
  drag: null, // a rectangle's first corner, or the axis whose threshold is pulled
};

// Values and codes: see Axis in points.py. A code is a step of asinh(value / scale).
const valueOf = ({ scale, origin, step }, code) => scale * Math.sinh(origin + (code + 0.5) * step);
const isMoved = (criterion) => criterion.cut !== criterion.auditCut;

function thresholdOf(criterion) {
  const { scale, origin, step, cut, threshold } = criterion;
  if (!isMoved(criterion) && threshold !== null) return threshold;
  return scale * Math.sinh(origin + cut * step);
}

function codeOf({ scale, origin, step }, value) {
  return clamp(Math.round((Math.asinh(value / scale) - origin) / step), 0, INVALID - 1);
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

// The canvas that is seen, and one that holds all points: hovering only copies it.
const canvas = byId("canvas");
const display = canvas.getContext("2d");
const layer = document.createElement("canvas");
const ink = layer.getContext("2d", { willReadFrequently: true });
const FONT = "12px system-ui, sans-serif";
const MARGIN = { left: 64, right: 14, top: 12, bottom: 46 };
const TICK_GAP = 44; // pixels
let width = 0;
let height = 0;
let pixelRatio = 1;
let colours = {};
let xScale, yScale;
const pointX = new Float32Array(count); // in pixels; NaN for what is not finite
const pointY = new Float32Array(count);

const plotBox = () => ({
  left: MARGIN.left,
  right: width - MARGIN.right,
  top: MARGIN.top,
  bottom: height - MARGIN.bottom,
});

// Maps values of a criterion to pixels. All codes are placed once, so that 100,000 points are
// 100,000 look-ups.
function makeScale(criterion, from, to) {
  let lowest = Math.min(criterion.cut, criterion.auditCut);
  let highest = Math.max(criterion.cut, criterion.auditCut);
  for (const code of criterion.codes) {
    if (code === INVALID) continue;
    if (code < lowest) lowest = code;
    if (code > highest) highest = code;
  }
  const bend = state.log ? (value) => Math.asinh(value / criterion.scale) : (value) => value;
  const unbend = state.log ? (bent) => criterion.scale * Math.sinh(bent) : (bent) => bent;
  let start = bend(valueOf(criterion, lowest));
  let end = bend(valueOf(criterion, highest));
  const padding = 0.04 * (end - start) || 1;
  start -= padding;
  end += padding;
  const place = (value) => from + ((bend(value) - start) / (end - start)) * (to - from);
  const invert = (pixel) => unbend(start + ((pixel - from) / (to - from)) * (end - start));
  const table = new Float32Array(INVALID + 1);
  for (let code = lowest; code <= highest; code++) table[code] = place(valueOf(criterion, code));
  table[INVALID] = NaN;
  return { place, invert, table, ticks: makeTicks(unbend(start), unbend(end), place, criterion) };
}

// Round numbers between low and high that keep their distance, the roundest first.
function makeTicks(low, high, place, criterion) {
  const candidates = [];
  if (state.log) {
    const largest = Math.max(Math.abs(low), Math.abs(high), 1e-300);
    const first = Math.floor(Math.log10(criterion.scale)) - 1;
    const last = Math.ceil(Math.log10(largest));
    candidates.push(0);
    for (const digit of [1, 2, 5]) {
      for (let exponent = first; exponent <= last; exponent++) {
        candidates.push(digit * 10 ** exponent, -digit * 10 ** exponent);
      }
    }
  } else {
    const rawStep = (high - low) / 7;
    const unit = 10 ** Math.floor(Math.log10(rawStep));
    const step = unit * [1, 2, 5, 10].find((digit) => digit * unit >= rawStep);
    for (let k = Math.ceil(low / step); k * step <= high; k++) candidates.push(k * step);
  }
  const ticks = [];
  for (const value of candidates) {
    const at = place(value);
    const isFree = ticks.every((tick) => Math.abs(tick.at - at) > TICK_GAP);
    if (value >= low && value <= high && isFree) ticks.push({ value, at });
  }
  return ticks;
}

function tickText(value) {
  const size = Math.abs(value);
  if (size >= 1e6 || (value && size < 1e-4)) return value.toExponential();
  return String(Number(value.toPrecision(6)));
}

// Points by cells of the canvas: the first point of each cell, and for each point the next one in
// its cell. Finding the nearest point looks into a few cells only.
const CELL = 12; // pixels
let nColumns = 0;
let firstInCell = new Int32Array(0);
const nextInCell = new Int32Array(count);

function resize() {
  const box = canvas.getBoundingClientRect();
  pixelRatio = Math.min(2, window.devicePixelRatio || 1);
  width = Math.max(200, Math.round(box.width));
  height = Math.max(200, Math.round(box.height));
  for (const one of [canvas, layer]) {
    one.width = width * pixelRatio;
    one.height = height * pixelRatio;
  }
  placePoints();
}

function placePoints() {
  const { left, right, top, bottom } = plotBox();
  xScale = makeScale(criteria[state.x], left, right);
  yScale = makeScale(criteria[state.y], bottom, top);
  nColumns = Math.ceil(width / CELL);
  firstInCell = new Int32Array(nColumns * Math.ceil(height / CELL)).fill(-1);
  for (let i = 0; i < count; i++) {
    pointX[i] = xScale.table[criteria[state.x].codes[i]];
    pointY[i] = yScale.table[criteria[state.y].codes[i]];
    if (Number.isNaN(pointX[i] + pointY[i])) continue;
    const cell = Math.floor(pointY[i] / CELL) * nColumns + Math.floor(pointX[i] / CELL);
    nextInCell[i] = firstInCell[cell];
    firstInCell[cell] = i;
  }
  drawPoints();
}

function nearestPoint(x, y, reach) {
  let best = -1;
  let least = reach * reach;
  const nRows = firstInCell.length / nColumns;
  const span = Math.ceil(reach / CELL);
  const column = Math.floor(x / CELL);
  const row = Math.floor(y / CELL);
  for (let r = Math.max(0, row - span); r <= Math.min(nRows - 1, row + span); r++) {
    for (let c = Math.max(0, column - span); c <= Math.min(nColumns - 1, column + span); c++) {
      for (let i = firstInCell[r * nColumns + c]; i >= 0; i = nextInCell[i]) {
        const distance = (pointX[i] - x) ** 2 + (pointY[i] - y) ** 2;
        if (distance < least) {
          least = distance;
          best = i;
        }
      }
    }
  }
  return best;
}

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["bg", "ink", "quiet", "line", "accent", ...points.groups];
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  colours = Object.fromEntries(names.map((name) => [name, read(name)]));
}

function drawPoints() {
  ink.setTransform(pixelRatio, 0, 0, pixelRatio, 0, 0);
  ink.fillStyle = colours.bg;
  ink.fillRect(0, 0, width, height);
  drawGrid();
  drawAxisTexts();
  stampPoints();
  drawOverlay();
}

function drawGrid() {
  const { left, right, top, bottom } = plotBox();
  ink.strokeStyle = colours.line;
  ink.lineWidth = 1;
  ink.beginPath();
  for (const tick of xScale.ticks) {
    ink.moveTo(Math.round(tick.at) + 0.5, top);
    ink.lineTo(Math.round(tick.at) + 0.5, bottom);
  }
  for (const tick of yScale.ticks) {
    ink.moveTo(left, Math.round(tick.at) + 0.5);
    ink.lineTo(right, Math.round(tick.at) + 0.5);
  }
  ink.stroke();
}

function drawAxisTexts() {
  const { left, right, top, bottom } = plotBox();
  ink.font = FONT;
  ink.fillStyle = colours.quiet;
  ink.textAlign = "center";
  ink.textBaseline = "top";
  for (const tick of xScale.ticks) ink.fillText(tickText(tick.value), tick.at, bottom + 6);
  ink.textAlign = "right";
  ink.textBaseline = "middle";
  for (const tick of yScale.ticks) ink.fillText(tickText(tick.value), left - 7, tick.at);
  ink.fillStyle = colours.ink;
  ink.textAlign = "center";
  ink.textBaseline = "alphabetic";
  ink.fillText(`intrinsic: ${criteria[state.x].text}`, (left + right) / 2, height - 8);
  ink.save();
  ink.translate(14, (top + bottom) / 2);
  ink.rotate(-Math.PI / 2);
  ink.fillText(`extrinsic: ${criteria[state.y].text}`, 0, 0);
  ink.restore();
}

// A disc of pixels with soft edges, as offsets into the image's bytes and weights out of 256.
function makeDisc(rowLength) {
  const radius = (count < 2000 ? 4 : count < 10000 ? 3 : count < 40000 ? 2.2 : 1.7) * pixelRatio;
  const alpha = count < 2000 ? 0.85 : count < 10000 ? 0.7 : 0.55;
  const reach = Math.ceil(radius);
  const offsets = [];
  const weights = [];
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const cover = clamp(radius + 0.5 - Math.hypot(dx, dy), 0, 1);
      if (cover <= 0.05) continue;
      offsets.push(4 * (dy * rowLength + dx));
      weights.push(Math.round(256 * alpha * cover));
    }
  }
  return { offsets, weights, side: 2 * reach + 1 };
}

// Blends a disc per point into the pixels: many times faster than an arc per point. The order
// strides through all points, so that no group hides another by coming last.
function stampPoints() {
  const image = ink.getImageData(0, 0, layer.width, layer.height);
  const bytes = image.data;
  const { offsets, weights, side } = makeDisc(layer.width);
  const rgbOfGroup = points.groups.map((name) => rgbOf(colours[name]));
  const stride = coprimeStride(count);
  for (let k = 0, i = 0; k < count; k++, i = (i + stride) % count) {
    const x = Math.round(pointX[i] * pixelRatio);
    const y = Math.round(pointY[i] * pixelRatio);
    const isInside = x >= side && y >= side && x < layer.width - side && y < layer.height - side;
    if (!isInside) continue; // NaN too
    const [red, green, blue] = rgbOfGroup[group[i]];
    const centre = 4 * (y * layer.width + x);
    for (let o = 0; o < offsets.length; o++) {
      const at = centre + offsets[o];
      const weight = weights[o];
      bytes[at] += ((red - bytes[at]) * weight) >> 8;
      bytes[at + 1] += ((green - bytes[at + 1]) * weight) >> 8;
      bytes[at + 2] += ((blue - bytes[at + 2]) * weight) >> 8;
    }
  }
  ink.putImageData(image, 0, 0);
}

// About the golden section of n, without a common factor: k times it visits every row once.
function coprimeStride(n) {
  const divisor = (a, b) => (b ? divisor(b, a % b) : a);
  let stride = Math.floor(n * 0.618) | 1;
  while (n > 1 && divisor(stride, n) !== 1) stride++;
  return stride;
}

function rgbOf(hex) {
  const digits =
    hex.length === 4 ? [...hex.slice(1)].map((digit) => digit + digit).join("") : hex.slice(1);
  return [0, 2, 4].map((at) => parseInt(digits.slice(at, at + 2), 16));
}

// What moves: threshold lines, the selection, the rectangle and the cursor.
function drawOverlay() {
  display.setTransform(1, 0, 0, 1, 0, 0);
  display.drawImage(layer, 0, 0);
  display.setTransform(pixelRatio, 0, 0, pixelRatio, 0, 0);
  drawThresholds();
  if (criteria.length <= 2) drawGroupNames();
  display.lineWidth = 2;
  display.strokeStyle = colours.ink;
  for (const point of state.selection.slice(0, state.nCards)) drawRing(point, 5);
  if (state.brush) drawBrush(state.brush);
  if (state.cursor >= 0) {
    display.strokeStyle = colours.accent;
    display.lineWidth = 3;
    drawRing(state.cursor, 8);
  }
}

function thresholdLines() {
  return [
    xScale.place(thresholdOf(criteria[state.x])),
    yScale.place(thresholdOf(criteria[state.y])),
  ];
}

function drawThresholds() {
  const { left, right, top, bottom } = plotBox();
  const [x, y] = thresholdLines();
  display.strokeStyle = colours.ink;
  display.lineWidth = 1.5;
  display.setLineDash([6, 4]);
  display.beginPath();
  display.moveTo(x, top);
  display.lineTo(x, bottom);
  display.moveTo(left, y);
  display.lineTo(right, y);
  display.stroke();
  display.setLineDash([]);
  display.fillStyle = colours.ink;
  for (const [handleX, handleY] of [
    [x, top],
    [right, y],
  ]) {
    display.beginPath();
    display.arc(handleX, handleY, 5, 0, 2 * Math.PI);
    display.fill();
  }
  canvas.dataset.lines = `${x.toFixed(1)} ${y.toFixed(1)}`;
}

function drawGroupNames() {
  const { left, right, top, bottom } = plotBox();
  display.font = `600 ${FONT}`;
  display.textBaseline = "alphabetic";
  display.lineWidth = 4;
  display.lineJoin = "round";
  display.strokeStyle = colours.bg;
  display.fillStyle = colours.ink;
  for (const [name, x, y, align] of [
    ["HIHE", left + 8, bottom - 8, "left"],
    ["HILE", left + 8, top + 16, "left"],
    ["LIHE", right - 12, bottom - 8, "right"],
    ["LILE", right - 12, top + 16, "right"],
  ]) {
    display.textAlign = align;
    display.strokeText(name, x, y);
    display.fillText(name, x, y);
  }
}

function drawBrush([x0, y0, x1, y1]) {
  display.globalAlpha = 0.14;
  display.fillStyle = colours.accent;
  display.fillRect(x0, y0, x1 - x0, y1 - y0);
  display.globalAlpha = 1;
  display.strokeStyle = colours.accent;
  display.strokeRect(x0, y0, x1 - x0, y1 - y0);
}

function drawRing(point, radius) {
  if (!(pointX[point] >= 0)) return; // NaN
  display.beginPath();
  display.arc(pointX[point], pointY[point], radius, 0, 2 * Math.PI);
  display.stroke();
}
