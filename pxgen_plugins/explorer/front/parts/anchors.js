// How anchors are shown, wherever they are.

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
  const words = explorer.info.anchors?.words?.[index];
  const face =
    picture ??
    explorer.thumbnails.canvas(index) ??
    (words ? h("span", { class: "px-words" }, visible(words)) : null) ??
    h("span", { class: "px-number" }, `#${index}`);
  const name = group ?? explorer.groupOf(index);
  const text = [`Start from ${anchorText(explorer, index)}`, name, note].filter(Boolean).join(", ");
  const attributes = { class: "px-anchor", "data-group": name, "aria-label": text, title: text };
  const node = button("", () => explorer.startFromAnchor(index), attributes);
  node.append(face);
  if (note) node.append(h("small", { "aria-hidden": "true" }, note));
  return node;
}
