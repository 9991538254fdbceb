// Painting with units.

const MOST_STROKES = 32;

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
    move: () => explorer.glance({ strokes: strokes() }),
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
