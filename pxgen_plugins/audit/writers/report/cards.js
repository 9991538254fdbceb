// Cards: an anchor's picture, reconstruction, label and values; below the pointer, and in the grid
// of the selection.
const SVG = "http://www.w3.org/2000/svg";
const placeOfAnchor = new Map(pictures.indices.map((anchor, place) => [anchor, place]));
const hasPicture = (point) => placeOfAnchor.has(anchorOf(point));

// Three significant digits, as utils.text.number writes them.
function numberText(value) {
  if (!Number.isFinite(value)) return "n/a";
  const size = Math.abs(value);
  const digits = Number(value.toPrecision(3));
  if (size !== 0 && (size >= 1e15 || size < 1e-4))
    return digits.toExponential().replace(/-(\d)$/, "-0$1");
  return size >= 1000 ? digits.toLocaleString("en") : String(digits);
}

// One decimal, as utils.text.percent writes it, or the columns of a table would differ in a tie.
function percentText(share) {
  if (Number.isNaN(share)) return "n/a";
  if (share === 0 || share === 1) return `${100 * share} %`;
  if (share < 0.0005) return "<0.1 %";
  if (share >= 0.9995) return ">99.9 %";
  const percent = 100 * share;
  const isTie = percent % 1 === 0.25; // toFixed rounds a tie up, Python to the even digit
  return `${(isTie ? percent - 0.05 : percent).toFixed(1)} %`;
}

function makeElement(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// A cut-out of a sheet of many pictures.
function makePicture(anchor, place, which) {
  const nPerSheet = pictures.columns * pictures.rows;
  const cell = place * pictures.each + which;
  const x = ((cell % nPerSheet) % pictures.columns) * pictures.width;
  const y = Math.floor((cell % nPerSheet) / pictures.columns) * pictures.height;
  const view = document.createElementNS(SVG, "svg");
  view.setAttribute("class", "pic");
  view.setAttribute("role", "img");
  view.setAttribute("aria-label", `${which ? "reconstruction of anchor" : "anchor"} ${anchor}`);
  view.setAttribute("viewBox", `${x} ${y} ${pictures.width} ${pictures.height}`);
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#sheet${Math.floor(cell / nPerSheet)}`);
  view.append(use);
  return view;
}

function makePair(anchor, place) {
  const pair = makeElement("div", "pair");
  if (place !== undefined && pictures.width) {
    for (let k = 0; k < pictures.each; k++) pair.append(makePicture(anchor, place, k));
  } else if (place !== undefined && pictures.texts.length) {
    const [text, reconstruction] = pictures.texts[place];
    pair.append(makeElement("p", "words", text));
    if (reconstruction !== null) pair.append(makeElement("p", "words rebuilt", reconstruction));
  } else {
    pair.append(makeElement("span", "nothing", "no picture"));
  }
  return pair;
}

function makeCaption(point, anchor, place) {
  const caption = makeElement("figcaption");
  const tag = makeElement("span", "tag", points.groups[group[point]]);
  tag.dataset.group = points.groups[group[point]];
  caption.append(tag, " ");
  if (label) caption.append(makeElement("bdi", "label", points.labels[label[point]]));
  caption.append(" ", makeElement("span", "quiet", `#${anchor}`));
  if (place !== undefined && pictures.ids) {
    caption.append(" ", makeElement("bdi", "quiet id", pictures.ids[place]));
  }
  const values = makeElement("span", "quiet values");
  for (const criterion of criteria) {
    const value = numberText(valueOf(criterion, criterion.codes[point]));
    values.append(makeElement("bdi", "", `${criterion.title} ${value}`), " ");
  }
  if (stability && stability[point] <= 100) {
    values.append(makeElement("bdi", "", `stability ${stability[point]} %`));
  }
  caption.append(values);
  return caption;
}

function makeCard(point) {
  const anchor = anchorOf(point);
  const place = placeOfAnchor.get(anchor);
  const card = makeElement("figure", "card");
  card.dataset.group = points.groups[group[point]];
  card.append(makePair(anchor, place), makeCaption(point, anchor, place));
  return card;
}

// Puts the cursor on a point, -1 for none; its card stands beside it.
function moveCursor(point, isAnnounced = false) {
  state.cursor = point;
  const tip = byId("tip");
  tip.hidden = point < 0;
  if (point >= 0) {
    const card = makeCard(point);
    tip.replaceChildren(card);
    const [x, y] = [pointX[point], pointY[point]];
    const isBelow = y + 14 + tip.offsetHeight <= height;
    tip.style.left = `${Math.max(0, Math.min(x + 14, width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${isBelow ? y + 14 : Math.max(0, y - tip.offsetHeight - 14)}px`;
    if (isAnnounced) {
      byId("status").textContent = `Anchor ${card.querySelector("figcaption").textContent}`;
    }
  }
  drawOverlay();
}

// Those with pictures come first.
function select(selection) {
  const rank = (point) => (hasPicture(point) ? 0 : 1);
  state.selection = selection.sort((a, b) => rank(a) - rank(b) || a - b);
  state.nCards = PAGE;
  showSelection();
}

function selectRectangle([x0, y0, x1, y1]) {
  const [left, right] = [Math.min(x0, x1), Math.max(x0, x1)];
  const [top, bottom] = [Math.min(y0, y1), Math.max(y0, y1)];
  const inside = [];
  for (let i = 0; i < count; i++) {
    const [x, y] = [pointX[i], pointY[i]];
    if (x >= left && x <= right && y >= top && y <= bottom) inside.push(i);
  }
  select(inside);
}

function showSelection() {
  const n = state.selection.length;
  const nPictures = state.selection.filter(hasPicture).length;
  const [all, some] = [n, nPictures].map((number) => number.toLocaleString("en"));
  const text = `${all} selected, ${some} with pictures in this file`;
  byId("selection").hidden = n === 0;
  byId("selected").textContent = text;
  byId("status").textContent = n ? text : "Nothing selected";
  byId("grid").replaceChildren(...state.selection.slice(0, state.nCards).map(makeCard));
  byId("more").hidden = state.nCards >= n;
  drawOverlay();
}
