// A slider for each axis.

const FEW_AXES = 24; // more of them get a search field

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
    if (!isDone) return explorer.glance();
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
