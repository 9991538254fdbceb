// The reconstruction task.

// The task has sliders of its own, with ends of its own; messages carry their positions as `z`.
function taskPage(explorer) {
  const [target, now] = [view(explorer, "Target"), view(explorer, "Your picture")];
  const question = h("h2", {});
  const bar = h("div", {
    class: "px-agreement",
    role: "meter",
    "aria-label": "Agreement with the target",
    "aria-valuemin": 0,
    "aria-valuemax": 1,
  });
  const words = h("p", {});
  const live = h("p", { class: "px-hidden", "aria-live": "polite", "data-live": "task" });
  const list = h("div", { class: "px-sliders" });
  const percent = (share) => `${Math.round(100 * (share ?? 0))} %`;
  let task = null;
  let inputs = [];
  function show(answer) {
    const isNew = task?.index !== answer.index;
    task = answer;
    const { agreement, goal, index, n, over: isOver } = task;
    target.show(answer, partsOf(answer.target), "The target picture");
    now.show(answer, partsOf(answer.picture), "Your picture now");
    if (isNew) begin();
    question.textContent = `Question ${index + 1} of ${n}: make the picture like the target`;
    bar.style.setProperty("--at", percent(clamp(agreement ?? 0, 0, 1)).replace(" ", ""));
    bar.style.setProperty("--goal", percent(clamp(goal ?? 1, 0, 1)).replace(" ", ""));
    bar.toggleAttribute("data-solved", task.solved === true);
    bar.setAttribute("aria-valuenow", (agreement ?? 0).toFixed(2));
    bar.setAttribute("aria-valuetext", `${percent(agreement)}, goal ${percent(goal)}`);
    const result = task.solved ? "Solved. " : isOver ? "Skipped. " : "";
    words.textContent =
      `${result}Agreement ${percent(agreement)}, goal ${percent(goal)}.` +
      (task.done && isOver ? " This was the last question: thank you." : "");
    if (isOver) live.textContent = words.textContent;
    next.hidden = !isOver || task.done === true;
    skip.hidden = isOver;
    skip.disabled = !task.may_skip;
    inputs.forEach((input) => (input.disabled = isOver));
  }
  function begin() {
    const { positions, low, high, labels } = task;
    inputs = positions.map((position, i) => {
      const attributes = { min: low[i], max: high[i], step: "any", value: position };
      const input = range(attributes, () => step(null));
      input.addEventListener("change", () => step(i));
      input.addEventListener("keydown", (event) => nudge(event, input, i));
      return input;
    });
    list.replaceChildren(...inputs.map((input, i) => field(visible(labels[i]), input)));
  }
  // A slider of any step has no arrow keys that a hand could use: they move by a hundredth.
  function nudge(event, input, i) {
    const side = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!side) return;
    event.preventDefault();
    const [low, high] = [Number(input.min), Number(input.max)];
    setRange(input, clamp(Number(input.value) + (side * (high - low)) / 100, low, high));
    step(i);
  }
  // `axis` is the slider that was let go; while it is held, there is none.
  async function step(axis) {
    const z = inputs.map((input) => Number(input.value));
    const answer = await explorer.ask("task_step", { z, axis });
    if (answer) show(answer);
  }
  async function open(kind) {
    const answer = await explorer.ask(kind);
    if (!answer) return;
    intro.hidden = true;
    running.hidden = false;
    show(answer);
  }
  const skip = button("Skip", () => open("task_skip"), {
    title: "Once the sliders were moved for long enough",
  });
  const next = button("Next", () => open("task_start"), { class: "px-primary" });
  const intro = h(
    "div",
    { class: "px-consent" },
    h("p", {}, explorer.info.consent ?? ""),
    button("I agree: start", () => open("task_start"), { class: "px-primary" }),
  );
  const pictures = h(
    "div",
    { class: "px-stage", "data-mode": "side" },
    h("figure", {}, target.root, h("figcaption", {}, "Target")),
    h("figure", {}, now.root, h("figcaption", {}, "Your picture")),
  );
  const running = h(
    "div",
    { class: "px-task", hidden: true },
    question,
    pictures,
    bar,
    words,
    list,
    h("div", { class: "px-line" }, skip, next),
    live,
  );
  return h("div", { class: "px-page" }, intro, running);
}
