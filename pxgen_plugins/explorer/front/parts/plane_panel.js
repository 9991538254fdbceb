// PXGen's plane, by mouse and keys.

function planePanel(explorer) {
  const { plane: points, groups } = explorer.info;
  const help = h(
    "p",
    { class: "px-quiet", id: newId() },
    "Drag to select anchors, click to start from one. By keys: arrows move between anchors, Space " +
      "selects, B sets a corner of a rectangle and B again selects inside, Enter starts, Escape clears.",
  );
  const canvas = h("canvas", {
    class: "px-plane",
    tabindex: 0,
    role: "application",
    "aria-describedby": help.id,
  });
  const legend = h("ul", { class: "px-legend" });
  const swatches = groups.map((group) => {
    const members = [...points.group.keys()].filter((i) => groups[points.group[i]] === group);
    const swatch = h("span", { class: "px-swatch", "data-group": group, "data-shape": group });
    const title = `Select the anchors of ${group}: ${GROUP_WORDS[group] ?? ""}`;
    const node = button("", () => explorer.select(members), { title });
    node.append(swatch, `${group} ${members.length.toLocaleString("en")}`);
    legend.append(h("li", {}, node));
    return swatch;
  });
  const plane = new Plane(canvas, explorer.info, { quiet: help, swatches });
  canvas.setAttribute("aria-label", `Plane of anchors: ${plane.yLabel} against ${plane.xLabel}`);
  const tip = h("div", { class: "px-tip", hidden: true });
  const spoken = h("p", { class: "px-hidden", "aria-live": "polite", "data-live": "anchor" });
  const point = (index, isSpoken) => {
    if (index === plane.cursor) return;
    plane.cursor = index;
    showTip(explorer, plane, tip);
    if (index >= 0 && isSpoken) spoken.textContent = tip.textContent;
    plane.draw();
  };
  listenToPointer(explorer, plane, point);
  listenToKeys(explorer, plane, point);

  const count = h("p", { class: "px-selection px-quiet" });
  const clear = button("Clear", () => explorer.select([]), {
    class: "px-small",
    hidden: true,
    "aria-label": "Clear the selection",
  });
  explorer.on("selected", (answer) => {
    const counts = Object.entries(answer?.groups ?? {}).filter(([, number]) => number);
    const shares = counts.map(([group, number]) => `${number} ${group}`).join(", ");
    const total = explorer.selected.length;
    const words = `${total.toLocaleString("en")} selected${shares ? `: ${shares}` : ""}`;
    count.textContent = total ? words : "";
    clear.hidden = !total;
    plane.selected = explorer.selected;
    plane.draw();
  });
  explorer.on("origin", () => (plane.trail.length = 0));
  explorer.on("picture", (answer) => {
    if (!("point" in answer)) return;
    if (answer.point?.every(Number.isFinite)) return plane.follow(answer.point);
    plane.trail.length = 0;
    return plane.draw();
  });
  explorer.on("theme", () => plane.isReady && plane.drawLayer());
  const observer = new ResizeObserver(() => plane.resize());
  observer.observe(canvas);
  explorer.on("close", () => observer.disconnect());
  return h(
    "section",
    { class: "px-plane-panel", "aria-label": "Plane of anchors" },
    h(
      "div",
      { class: "px-line px-title", "aria-live": "polite" },
      h("h2", {}, "Plane"),
      count,
      clear,
    ),
    h("div", { class: "px-plane-box" }, canvas, tip),
    legend,
    h("details", {}, h("summary", { class: "px-quiet" }, "Mouse and keys"), help),
    spoken,
  );
}

function showTip(explorer, plane, tip) {
  const { cursor: index, width } = plane;
  tip.hidden = index < 0;
  if (index < 0) return;
  const text = `${anchorText(explorer, index)}, ${explorer.groupOf(index) ?? "no group"}`;
  const parts = [explorer.thumbnails.canvas(index), h("span", {}, text)];
  tip.replaceChildren(...parts.filter(Boolean));
  const [x, y] = [plane.x[index], plane.y[index]];
  tip.style.left = x > width / 2 ? "auto" : `${x + 14}px`;
  tip.style.right = x > width / 2 ? `${width - x + 14}px` : "auto";
  tip.style.top = `${y + 10}px`;
}

function listenToPointer(explorer, plane, point) {
  const { canvas } = plane;
  let start = null; // where the button went down
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const end = () => {
    start = plane.brush = null;
    plane.draw();
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return; // not the first one
    canvas.setPointerCapture(event.pointerId);
    start = at(event);
    plane.corner = -1;
  });
  canvas.addEventListener("pointermove", (event) => {
    const place = at(event);
    if (!start) return point(plane.nearest(...place, 14), false);
    if (Math.hypot(place[0] - start[0], place[1] - start[1]) > 4)
      plane.brush = [...start, ...place];
    plane.draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    const picked = plane.nearest(...at(event), 14);
    if (plane.brush) explorer.select(plane.inside(plane.brush));
    else if (start && picked >= 0) explorer.startFromAnchor(picked);
    end();
  });
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("pointerleave", () => {
    if (!start && document.activeElement !== canvas) point(-1);
  });
}

function listenToKeys(explorer, plane, point) {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const toggle = () => {
    const others = explorer.selected.filter((i) => i !== plane.cursor);
    const isNew = others.length === explorer.selected.length;
    explorer.select(isNew ? [...others, plane.cursor] : others);
  };
  const corner = () => {
    if (plane.corner >= 0) explorer.select(plane.inside(plane.keyRectangle()));
    plane.corner = plane.corner >= 0 ? -1 : plane.cursor;
    plane.draw();
  };
  plane.canvas.addEventListener("keydown", (event) => {
    const { key } = event;
    const hasCursor = plane.cursor >= 0;
    if (ways[key]) point(plane.neighbour(...ways[key]), true);
    else if (key === "Enter" && hasCursor) explorer.startFromAnchor(plane.cursor);
    else if (key === " " && hasCursor) toggle();
    else if (key.toLowerCase() === "b" && hasCursor && !event.ctrlKey && !event.metaKey) corner();
    else if (key === "Escape") {
      plane.corner = -1;
      explorer.select([]);
    } else return;
    event.preventDefault();
  });
  plane.canvas.addEventListener("blur", () => point(-1));
}
