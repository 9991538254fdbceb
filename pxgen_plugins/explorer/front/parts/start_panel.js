// Where to start from: a seed, an anchor, a representative.

const MOST_OF_GROUP = 10; // representatives shown

function startPanel(explorer) {
  const { anchors, groups, representatives } = explorer.info;
  const seed = h("input", { type: "number", min: 0, step: 1, value: 0, class: "px-short" });
  const readSeed = () => Math.max(0, Math.floor(Number(seed.value) || 0));
  const take = () => explorer.sample(readSeed());
  const next = () => {
    seed.value = readSeed() + 1;
    take();
  };
  seed.addEventListener("change", take);
  const most = (anchors?.n ?? 0) - 1;
  const index = h("input", {
    type: "number",
    min: 0,
    max: most,
    step: 1,
    value: 0,
    class: "px-short",
  });
  index.addEventListener("change", () =>
    explorer.startFromAnchor(clamp(Math.floor(Number(index.value) || 0), 0, most)),
  );
  const origin = h("p", { class: "px-origin" });
  explorer.on("origin", (answer) => {
    origin.replaceChildren();
    if (!answer) return;
    const isAnchor = answer.index !== undefined;
    if (isAnchor) index.value = answer.index;
    const words = isAnchor
      ? `From ${anchorText(explorer, answer.index)}.`
      : `From seed ${answer.seed}.`;
    origin.append(words);
    if (!isAnchor || answer.image?.buffer === undefined) return;
    const img = h("img", {
      class: "px-thumb px-pixelated",
      alt: "The anchor itself",
      title: "The anchor itself",
    });
    showPng(img, answer.buffers[answer.image.buffer]);
    origin.prepend(img);
  });
  const rows = groups
    .filter((group) => representatives?.[group]?.length)
    .map((group) =>
      h(
        "div",
        {
          class: "px-strip",
          role: "group",
          "aria-label": `Representatives of ${group}`,
          "data-group": group,
        },
        h("span", { class: "px-badge", title: GROUP_WORDS[group] ?? "" }, group),
        h(
          "div",
          {},
          ...representatives[group]
            .slice(0, MOST_OF_GROUP)
            .map((one) => anchorButton(explorer, one, { group })),
        ),
      ),
    );
  return h(
    "section",
    { "aria-label": "Start from" },
    h("h2", {}, "Start from"),
    h(
      "div",
      { class: "px-line" },
      field("Seed", seed),
      button("New sample", next),
      most >= 0 ? field(`Anchor, 0 to ${most}`, index) : null,
    ),
    origin,
    ...rows,
  );
}
