// PXGen's plane, drawn.

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
