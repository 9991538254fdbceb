// The anchors nearest to the picture.

function nearestPanel(explorer) {
  const list = h("div", { class: "px-nearest" });
  const images = [];
  explorer.on("picture", (answer) => {
    if (!("nearest" in answer)) return;
    const near = answer.nearest;
    const nodes = near.map(({ index, distance, image, text, row }, i) => {
      const words = text ?? row?.map(([, value]) => value).join(", ");
      let picture = null;
      if (image?.buffer !== undefined) {
        picture = images[i] ??= h("img", { class: "px-thumb px-pixelated", alt: "" });
        showPng(picture, answer.buffers[image.buffer]);
      } else if (words != null) picture = h("span", { class: "px-words" }, visible(words, 60));
      const node = anchorButton(explorer, index, { picture, note: figure(distance, 2) });
      const label = explorer.labelOf(index);
      if (label) node.append(h("bdi", { "aria-hidden": "true" }, label));
      return node;
    });
    list.replaceChildren(...nodes);
    root.hidden = !near.length;
  });
  const title = h("h2", {}, "Nearest anchors");
  const root = h(
    "section",
    { class: "px-near", "aria-label": "Nearest anchors", hidden: true },
    title,
    list,
  );
  return root;
}
