// Thresholds that can be moved, what follows from them, and the events of pointer and keys.

// Groups at the thresholds of this moment; at those of the audit they are the audit's.
function assignGroups() {
  if (!criteria.some(isMoved)) {
    group.set(auditGroup);
    return;
  }
  const [isLowIntrinsic, isLowExtrinsic] = ["intrinsic", "extrinsic"].map(makeRule);
  for (let i = 0; i < count; i++) {
    if (auditGroup[i] !== INVALID_GROUP) group[i] = 2 * isLowIntrinsic(i) + isLowExtrinsic(i);
  }
}

// Whether a point has low affinity of one kind, by the audit's rule for several criteria.
function makeRule(kind) {
  const some = criteria.filter((criterion) => criterion.kind === kind);
  const isLow = (criterion, point) => criterion.codes[point] >= criterion.cut;
  if (some.length > 1 && points.rule === "mean") {
    const distance = (criterion, point) =>
      (valueOf(criterion, criterion.codes[point]) - thresholdOf(criterion)) / criterion.spread;
    // not "sum >= 0": a sum that is NaN is low
    return (point) => !(some.reduce((sum, one) => sum + distance(one, point), 0) < 0);
  }
  if (points.rule === "any") return (point) => some.every((criterion) => isLow(criterion, point));
  return (point) => some.some((criterion) => isLow(criterion, point));
}

// The 95 % interval of a group's share: the audit's at its thresholds; at moved ones Wilson's,
// wider by what the audit's calibration adds.
function shareInterval(k, counts) {
  if (!criteria.some(isMoved)) return points.intervals[k];
  const share = counts[k] / Math.max(points.n_sample, 1);
  const [low, high] = wilsonInterval(counts[k], points.n_sample);
  const [below, above] = points.calibration[k];
  return [
    Math.max(0, share - Math.hypot(share - low, below)),
    Math.min(1, share + Math.hypot(high - share, above)),
  ];
}

// Wilson's 95 % interval of a share, as groups/binomial.py has it.
function wilsonInterval(k, n) {
  if (!n) return [0, 1];
  const z = 1.959963984540054;
  const share = k / n;
  const centre = share + (z * z) / (2 * n);
  const half = z * Math.sqrt((share * (1 - share)) / n + (z * z) / (4 * n * n));
  const scale = 1 + (z * z) / n;
  return [k === 0 ? 0 : (centre - half) / scale, k === n ? 1 : (centre + half) / scale];
}

// Counts are of the sample; points that are here for their pictures come after it.
function countGroups() {
  const counts = [0, 0, 0, 0, 0];
  for (let i = 0; i < points.n_sample; i++) counts[group[i]]++;
  return counts;
}

function showCounts() {
  const counts = countGroups();
  points.groups.forEach((name, k) => {
    const row = document.querySelector(`[data-row="${name}"]`);
    if (!row) return;
    const [low, high] = shareInterval(k, counts);
    row.querySelector(".now").textContent = percentText(counts[k] / points.n_sample);
    row.querySelector(".range").textContent = `${percentText(low)} to ${percentText(high)}`;
    row.dataset.count = counts[k];
  });
  showConditions(counts);
}

// Conditions that hold on this run: limits are rounded away from what was observed.
function showConditions(counts) {
  const lines = criteria
    .filter((criterion) => /^\w+$/.test(criterion.name))
    .map((criterion) => {
      const limit = roundUp(thresholdOf(criterion) + criterion.slack, 4);
      return `threshold.${criterion.name} <= ${limit}`;
    });
  // as conditions are judged: an anchor without a group may belong to any
  const unmoved = !criteria.some(isMoved);
  const worst = [counts[0], counts[1] + counts[INVALID_GROUP]];
  const [low] = unmoved ? points.safe[0] : shareInterval(0, worst);
  const [, high] = unmoved ? points.safe[1] : shareInterval(1, worst);
  lines.push(`HIHE.fraction >= ${Math.floor(1e4 * low) / 1e4}`);
  lines.push(`HILE.fraction <= ${Math.min(1, Math.ceil(1e4 * high) / 1e4)}`);
  const items = lines.map((line) => `  - ${JSON.stringify(line)}\n`);
  byId("yaml").value = `conditions:\n${items.join("")}`;
  byId("yaml").rows = lines.length + 2;
  byId("copied").textContent = "";
}

function roundUp(value, digits) {
  const unit = 10 ** (Math.floor(Math.log10(Math.abs(value) || 1)) - digits + 1);
  return Number((Math.ceil(value / unit) * unit).toPrecision(digits));
}

// Moves a threshold; what follows is drawn at most once per frame.
let isUpdateDue = false;

function moveThreshold(criterion, code) {
  criterion.cut = clamp(Math.round(code), 0, INVALID - 1);
  update();
}

function update() {
  if (isUpdateDue) return;
  isUpdateDue = true;
  requestAnimationFrame(() => {
    isUpdateDue = false;
    assignGroups();
    showCounts();
    drawPoints();
    showThresholds();
    if (state.selection.length) showSelection();
  });
}

function showThresholds() {
  for (const criterion of criteria) {
    const { slider, field } = criterion;
    const threshold = thresholdOf(criterion);
    const isFocused = slider === document.activeElement && Number(slider.value) === criterion.cut;
    if (!isFocused) slider.value = criterion.cut;
    if (field !== document.activeElement) field.value = Number(threshold.toPrecision(4));
    slider.setAttribute("aria-valuetext", `${criterion.title} ${numberText(threshold)}`);
  }
}

// What a key moves a slider by: one step of its 65,530 would move nothing visible.
const SLIDER_STEP = 330;
const SLIDER_KEYS = {
  ArrowLeft: -1,
  ArrowDown: -1,
  ArrowRight: 1,
  ArrowUp: 1,
  PageDown: -10,
  PageUp: 10,
};

function addThreshold(criterion, j) {
  const slider = makeElement("input");
  const field = makeElement("input");
  Object.assign(slider, { type: "range", min: 0, max: 65530, step: 1, id: `slide${j}` });
  Object.assign(field, { type: "number", step: "any", id: `field${j}` });
  field.setAttribute("aria-label", `threshold of ${criterion.title}`);
  slider.addEventListener("input", () => moveThreshold(criterion, Number(slider.value)));
  slider.addEventListener("keydown", (event) => {
    const steps = SLIDER_KEYS[event.key];
    if (!steps) return;
    event.preventDefault();
    moveThreshold(criterion, criterion.cut + steps * SLIDER_STEP);
  });
  field.addEventListener("change", () => {
    if (field.value !== "") moveThreshold(criterion, codeOf(criterion, Number(field.value)));
  });
  Object.assign(criterion, { slider, field });
  const row = makeElement("label", "threshold");
  row.append(makeElement("bdi", "", criterion.text), field, slider);
  byId("thresholds").append(row);
}

function addAxisChoice(id, axis, kind) {
  const menu = byId(id);
  criteria.forEach((criterion, j) => {
    if (criterion.kind !== kind) return;
    const option = makeElement("option", "", criterion.title);
    option.value = j;
    menu.append(option);
  });
  menu.addEventListener("change", () => {
    state[axis] = Number(menu.value);
    moveCursor(-1);
    placePoints();
  });
  menu.parentElement.hidden = menu.options.length < 2;
}

async function copyConditions() {
  let isCopied = true;
  try {
    await navigator.clipboard.writeText(byId("yaml").value);
  } catch {
    byId("yaml").select();
    isCopied = document.execCommand("copy");
  }
  byId("copied").textContent = isCopied ? "Copied" : "Copy it from the field";
}

function addControls() {
  addAxisChoice("across", "x", "intrinsic");
  addAxisChoice("up", "y", "extrinsic");
  criteria.forEach(addThreshold);
  byId("log").addEventListener("change", () => {
    state.log = byId("log").checked;
    state.brush = null;
    moveCursor(-1);
    placePoints();
  });
  byId("reset").addEventListener("click", () => {
    for (const criterion of criteria) criterion.cut = criterion.auditCut;
    update();
  });
  byId("more").addEventListener("click", () => {
    state.nCards += PAGE;
    showSelection();
  });
  byId("clear").addEventListener("click", () => {
    state.brush = null;
    select([]);
    canvas.focus();
  });
  byId("copy").addEventListener("click", copyConditions);
}

// The axis whose threshold line is near a place of the canvas, or null.
function axisNear(x, y, reach) {
  const [lineX, lineY] = thresholdLines();
  if (Math.abs(x - lineX) <= reach) return "x";
  return Math.abs(y - lineY) <= reach ? "y" : null;
}

function pullThreshold(axis, x, y) {
  const { left, right, top, bottom } = plotBox();
  const criterion = criteria[state[axis]];
  const value =
    axis === "x" ? xScale.invert(clamp(x, left, right)) : yScale.invert(clamp(y, top, bottom));
  moveThreshold(criterion, codeOf(criterion, value));
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  const { offsetX: x, offsetY: y } = event;
  const axis = axisNear(x, y, event.pointerType === "touch" ? 16 : 6);
  canvas.setPointerCapture(event.pointerId);
  moveCursor(-1);
  state.drag = axis ? { axis } : { x, y };
  if (!axis) state.brush = [x, y, x, y];
});

canvas.addEventListener("pointermove", (event) => {
  const { offsetX: x, offsetY: y } = event;
  if (state.drag?.axis) {
    pullThreshold(state.drag.axis, x, y);
  } else if (state.drag) {
    state.brush = [state.drag.x, state.drag.y, x, y];
    drawOverlay();
  } else {
    const axis = axisNear(x, y, 6);
    canvas.style.cursor = axis ? (axis === "x" ? "ew-resize" : "ns-resize") : "crosshair";
    const point = axis ? -1 : nearestPoint(x, y, 12);
    if (point !== state.cursor) moveCursor(point);
  }
});

canvas.addEventListener("pointerup", (event) => {
  const drag = state.drag;
  state.drag = null;
  if (!drag || drag.axis) return;
  if (Math.hypot(event.offsetX - drag.x, event.offsetY - drag.y) > 4) {
    selectRectangle(state.brush);
    return;
  }
  state.brush = null; // a click
  const point = nearestPoint(drag.x, drag.y, 12);
  select(point < 0 ? [] : [point]);
});

canvas.addEventListener("pointercancel", () => {
  state.drag = null;
  state.brush = null;
  drawOverlay();
});

canvas.addEventListener("pointerleave", () => {
  if (!state.drag) moveCursor(-1);
});

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// Arrows go from point to point, with Shift they pull thresholds; Enter selects; b begins and ends
// a rectangle; Escape clears.
canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const arrow = ARROWS[event.key];
  const key = event.key.toLowerCase();
  const { cursor } = state;
  if (arrow && event.shiftKey) {
    const [x, y] = thresholdLines();
    pullThreshold(arrow[0] ? "x" : "y", x + 8 * arrow[0], y + 8 * arrow[1]);
  } else if (arrow) {
    stepCursor(arrow);
  } else if (key === "enter" && cursor >= 0) {
    const others = state.selection.filter((point) => point !== cursor);
    select(others.length === state.selection.length ? [...others, cursor] : others);
  } else if (key === "b" && cursor >= 0) {
    const corner = [pointX[cursor], pointY[cursor]];
    if (state.corner) selectRectangle([...state.corner, ...corner]);
    state.corner = state.corner ? null : corner;
  } else if (key === "escape") {
    state.brush = null;
    state.corner = null;
    moveCursor(-1);
    select([]);
  } else {
    return;
  }
  event.preventDefault();
});

// Goes to the nearest point ahead; what lies aside counts double. Begins in the middle.
function stepCursor([dx, dy]) {
  const isFirst = state.cursor < 0;
  const x = isFirst ? width / 2 : pointX[state.cursor];
  const y = isFirst ? height / 2 : pointY[state.cursor];
  let best = -1;
  let least = Infinity;
  for (let i = 0; i < count; i++) {
    const [toX, toY] = [pointX[i] - x, pointY[i] - y];
    const ahead = toX * dx + toY * dy;
    const aside = Math.abs(toX * dy) + Math.abs(toY * dx);
    const cost = isFirst ? Math.hypot(toX, toY) : ahead > 3 ? ahead + 2 * aside : Infinity;
    if (cost < least) {
      least = cost;
      best = i;
    }
  }
  if (best < 0) return;
  if (state.corner) state.brush = [...state.corner, pointX[best], pointY[best]];
  moveCursor(best, true);
}

function redraw() {
  readColours();
  drawPoints();
}

addControls();
readColours();
showCounts();
resize();
showThresholds();
new ResizeObserver(() => {
  if (Math.abs(canvas.getBoundingClientRect().width - width) <= 1) return;
  state.brush = null;
  moveCursor(-1);
  resize();
}).observe(byId("plot"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
for (const [name, isPrinting] of [
  ["beforeprint", true],
  ["afterprint", false],
]) {
  addEventListener(name, () => {
    document.documentElement.classList.toggle("printing", isPrinting);
    redraw();
  });
}
document.documentElement.dataset.ready = "";
