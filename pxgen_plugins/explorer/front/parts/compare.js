// Several models beside each other.

function comparePage(explorer) {
  const cards = h("div", { class: "px-cards" });
  const about = h("p", { class: "px-quiet" });
  let isOpen = false;
  let origin = null;
  async function refresh() {
    if (!isOpen) return;
    const { z, amounts, strokes } = explorer.state;
    const isAnchor =
      origin?.index !== undefined &&
      String(origin.z) === String(z) &&
      !Object.keys(amounts).length &&
      !strokes.length;
    const answer = await explorer.ask(
      "compare",
      isAnchor ? { anchor: origin.index } : { z: explorer.code },
    );
    if (!answer) return;
    const nodes = answer.models.map(({ name, group, values, error, ...shows }) => {
      const display = view(explorer, name);
      if (error) display.show(answer, { text: error });
      else display.show(answer, shows, `What ${name} makes, group ${group ?? "unknown"}`);
      const list = Object.entries(values ?? {}).map(
        ([criterion, value]) => `${criterionName(criterion)} ${figure(value)}`,
      );
      const badge = group ? h("span", { class: "px-badge", "data-group": group }, group) : null;
      return h(
        "figure",
        {},
        display.root,
        h(
          "figcaption",
          {},
          h("b", {}, visible(name)),
          " ",
          badge,
          h("span", { class: "px-quiet" }, list.join(" \u00b7 ")),
        ),
      );
    });
    const same = isAnchor
      ? `What becomes of ${anchorText(explorer, origin.index)}`
      : "The same code";
    about.textContent = `${same}, in every model.`;
    cards.replaceChildren(...nodes);
  }
  explorer.on("origin", (answer) => (origin = answer));
  explorer.on("picture", refresh);
  explorer.on("tool", (name) => {
    isOpen = name === "compare";
    refresh();
  });
  return h("div", { class: "px-page" }, about, cards);
}
