// Title, undo, and what can be copied and saved.

function toolbar(explorer, title) {
  const { info } = explorer;
  const note = h("span", { class: "px-quiet", role: "status" });
  const text = h("textarea", {
    rows: 5,
    spellcheck: "false",
    "aria-label": "Text to copy, or a state to restore",
  });
  const restore = button("Restore this state", async () => {
    let state;
    try {
      state = JSON.parse(text.value);
    } catch {
      return tell("This is not a state: it is not JSON.");
    }
    const answer = await explorer.ask("restore", { state });
    if (!answer) return;
    box.hidden = true;
    const { z, amounts, strokes, model } = answer;
    which.value = explorer.modelIndex = model ?? 0;
    await explorer.change({ z, amounts, strokes });
    if (state.selected) await explorer.select(state.selected);
    tell("State restored.");
  });
  const box = h(
    "div",
    { class: "px-output", hidden: true },
    text,
    h(
      "div",
      { class: "px-line" },
      restore,
      button("Close", () => (box.hidden = true)),
    ),
  );
  let timer = 0;
  function tell(words, isLasting = false) {
    note.textContent = words;
    clearTimeout(timer);
    if (isLasting) return;
    timer = setTimeout(() => (note.textContent = ""), 5000);
  }
  // Where a frame may not use the clipboard, the text is shown, selected.
  async function copy(words, name) {
    try {
      await navigator.clipboard.writeText(words);
      tell(`${name} copied.`);
    } catch {
      openBox(words);
      tell(`Copy the ${name.toLowerCase()} from the box.`);
    }
  }
  function openBox(words) {
    text.value = words;
    box.hidden = false;
    text.focus();
    text.select();
  }
  async function copyPython() {
    const { state, modelIndex: model, answer: last } = explorer;
    const answer = state.z.length ? await explorer.ask("python", { ...state, model }) : last;
    if (answer?.python) await copy(answer.python, "Python");
    else if (answer) tell("There is no line of Python for what is shown.");
  }
  async function copyState() {
    const answer = await explorer.ask("state");
    if (answer)
      await copy(
        typeof answer.state === "string" ? answer.state : JSON.stringify(answer.state, null, 1),
        "State",
      );
  }
  async function savePage() {
    const axes = info.axes.filter((axis) => axis.shown).map((axis) => axis.index);
    tell("The page is being saved.", true);
    const answer = await explorer.ask("save_page", { axes });
    tell("");
    if (!answer) return;
    download(answer.html, "text/html", "explorer.html");
    tell("Page saved: it opens without a server.");
  }
  const isMoved = info.axes.length > 0; // else there is nothing to undo, and no strip to save
  const undo = button("Undo", () => explorer.undo(), { disabled: true, title: "Ctrl+Z" });
  const reset = button("Reset all", () => explorer.change({ amounts: {}, strokes: [] }));
  explorer.on("history", () => (undo.disabled = explorer.history.length < 2));
  explorer.root.addEventListener("keydown", (event) => {
    const isUndo =
      (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z";
    if (!isUndo || event.target.matches("textarea, input:not([type=range]):not([type=radio])"))
      return;
    event.preventDefault();
    explorer.undo();
  });
  const { models } = info;
  const options = models.map((name, i) => h("option", { value: i }, visible(name)));
  const which = h("select", {}, ...options);
  // A model that cannot decode this code, for its codes have another size, starts from its own.
  which.addEventListener("change", async () => {
    explorer.modelIndex = Number(which.value);
    if (!(await explorer.decode())) await explorer.sample(0);
    const size = info.shape.reduce((product, side) => product * side, 1);
    explorer.fire("axes", explorer.state.z.length === size);
  });
  const head = h(
    "header",
    { class: "px-head" },
    title,
    models.length > 1 ? field("Model", which) : null,
    note,
    h(
      "div",
      { class: "px-actions", role: "group", "aria-label": "Actions" },
      ...(isMoved ? [undo, reset] : []),
      button("Copy as Python", copyPython),
      button("Copy state", copyState),
      button("Restore state", () => openBox("")),
      ...(isMoved ? [button("Save page", savePage)] : []),
    ),
  );
  return h("div", {}, head, box);
}
