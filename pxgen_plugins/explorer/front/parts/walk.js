// The walk between two anchors.

const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function walkPage(explorer) {
  const { anchors } = explorer.info;
  const most = (anchors?.n ?? 1) - 1;
  const start = h(
    "select",
    {},
    h("option", { value: "code" }, "What is shown"),
    h("option", { value: "anchor" }, "An anchor"),
  );
  const number = (value) =>
    h("input", { type: "number", min: 0, max: most, step: 1, value, class: "px-short" });
  const [from, to] = [number(0), number(Math.min(1, most))];
  const steps = h("input", {
    type: "number",
    min: 2,
    max: 64,
    step: 1,
    value: 9,
    class: "px-short",
  });
  const fromField = field("From anchor", from, { hidden: true });
  start.addEventListener("change", () => (fromField.hidden = start.value === "code"));
  explorer.on("selected", () => {
    if (explorer.selected.length !== 2) return;
    [from.value, to.value] = explorer.selected;
    start.value = "anchor";
    fromField.hidden = false;
  });
  const display = view(explorer, "Walk");
  const strip = h("div", { class: "px-film", "aria-hidden": "true" });
  const place = range(
    { min: 0, max: 0, step: 1, value: 0, "aria-label": "Step of the walk" },
    (step) => {
      stop();
      show(step);
    },
  );
  const words = h("output", { class: "px-quiet" });
  let walk = null;
  let timer = 0;
  function show(i) {
    setRange(place, i);
    display.show(
      walk,
      partsOf(walk.frames[i]),
      `Step ${i + 1} of the walk, group ${walk.groups?.[i] ?? "unknown"}`,
    );
    [...strip.children].forEach((frame, k) => frame.toggleAttribute("data-current", k === i));
    const values = Object.entries(walk.values?.[i] ?? {}).map(
      ([name, value]) => `${criterionName(name)} ${figure(value)}`,
    );
    words.textContent = [`Step ${i + 1} of ${walk.frames.length}`, walk.groups?.[i], ...values]
      .filter(Boolean)
      .join(" \u00b7 ");
  }
  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  }
  function toggle() {
    if (timer) return stop();
    if (Number(place.value) === walk.frames.length - 1) show(0);
    play.textContent = "Pause";
    timer = setInterval(() => {
      const next = Number(place.value) + 1;
      if (next < walk.frames.length) show(next);
      if (next >= walk.frames.length - 1) stop();
    }, 250);
  }
  const play = button("Play", toggle);
  async function begin() {
    stop();
    const end = (control) => Math.floor(Number(control.value) || 0);
    const z = explorer.code;
    const body = {
      from: start.value === "code" ? z : end(from),
      to: end(to),
      steps: clamp(end(steps), 2, 64),
    };
    const answer = await explorer.ask("walk", body);
    if (!answer) return;
    walk = answer;
    const frames = walk.frames.map((frame, i) => {
      if (frame?.buffer === undefined) return h("span", {});
      const img = h("img", {
        class: "px-thumb px-pixelated",
        alt: "",
        "data-group": walk.groups?.[i],
      });
      showPng(img, walk.buffers[frame.buffer]);
      return img;
    });
    strip.replaceChildren(...frames);
    place.max = walk.frames.length - 1;
    result.hidden = false;
    play.hidden = reducedMotion();
    show(0);
    if (!reducedMotion()) toggle();
  }
  explorer.on("tool", stop);
  explorer.on("close", stop);
  const take = () =>
    explorer.change({ z: walk.codes[Number(place.value)], amounts: {}, strokes: [] });
  const steer = h("div", { class: "px-line" }, play, place, button("Start from here", take));
  const result = h(
    "div",
    { class: "px-walk", hidden: true },
    display.root,
    h("div", {}, strip, steer, words),
  );
  return h(
    "div",
    { class: "px-page" },
    h(
      "div",
      { class: "px-line" },
      field("Start", start),
      fromField,
      field("To anchor", to),
      field("Steps", steps),
      button("Walk", begin),
    ),
    h(
      "p",
      { class: "px-quiet" },
      "With two anchors selected in the plane, the walk goes from one to the other.",
    ),
    result,
  );
}
