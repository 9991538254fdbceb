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
