// The picture before, now, and the difference; the group that it falls into.

function picturePanel(explorer) {
  const { kind } = explorer.info.data;
  const isPicture = kind === "image";
  const frame = (name) => {
    const display = view(explorer, name);
    const caption = h("figcaption", {}, name);
    const root = h("figure", { "data-part": name.toLowerCase() }, display.root, caption);
    return { ...display, caption, figure: root };
  };
  const [before, now, difference] = ["Before", "Now", "Difference"].map(frame);
  if (!isPicture) now.caption.textContent = "";
  const stage = h("div", { class: "px-stage", "data-mode": isPicture ? "side" : "one" });
  stage.append(before.figure, now.figure, difference.figure);
  const setMix = (share) => stage.style.setProperty("--mix", share);
  const mixField = field(
    "Before to now",
    range({ min: 0, max: 1, step: 0.01, value: 0.5 }, setMix),
    { hidden: true },
  );
  const modes = [
    ["side", "Side by side"],
    ["overlay", "Overlay"],
    ["difference", "Difference"],
  ];
  const mode = choice("How pictures are shown", modes, "side", (value) => {
    stage.dataset.mode = value;
    mixField.hidden = value !== "overlay";
  });
  explorer.stage = now.root; // painting lays its brush over it
  function showPictures(answer) {
    const group = answer.group ? `, group ${answer.group}` : "";
    now.show(answer, answer, `The picture now${group}`);
    if (!("change" in answer)) return; // an anchor of a model without codes
    before.show(answer, { image: answer.before ?? answer.image }, "The picture before");
    difference.figure.toggleAttribute("data-empty", !answer.difference);
    if (answer.difference) difference.show(answer, { image: answer.difference }, "What changed");
  }
  let rowBefore = null;
  const showRow = (answer) => now.show(answer, answer, "Now", rowBefore);
  explorer.on("glance", (answer) => {
    if (isPicture) now.show(answer, answer, "The picture now");
    else showRow(answer);
  });
  explorer.on("picture", (answer) => {
    rowBefore = Array.isArray(answer.before) ? answer.before : null;
    if (isPicture) showPictures(answer);
    else showRow(answer);
    if (!("change" in answer)) return;
    const words = answer.change > 0 ? `mean change ${figure(answer.change)}` : "nothing changed";
    now.caption.textContent = isPicture || answer.change > 0 ? `Now: ${words}` : "";
    difference.caption.textContent = "Difference: red is more, blue less";
  });
  return h(
    "section",
    { class: "px-pictures", "aria-label": "Picture" },
    isPicture
      ? h("div", { class: "px-line" }, mode, mixField)
      : h("h2", {}, { text: "Text" }[kind] ?? "Row"),
    stage,
  );
}

// The group in words, and each criterion with its distance to the threshold.
function verdict(explorer) {
  const { criteria } = explorer.info;
  const badge = h("span", { class: "px-badge" });
  const words = h("span", {});
  const headline = h("p", { class: "px-headline" }, badge, words);
  const list = h("dl", { class: "px-criteria" });
  const live = h("p", { class: "px-hidden", "aria-live": "polite", "data-live": "group" });
  let last = null;
  explorer.on("picture", (answer) => {
    if (!("group" in answer)) return;
    const { group, values, distances, firmness } = answer;
    headline.hidden = !group;
    if (group) {
      badge.textContent = group;
      headline.dataset.group = group;
      const firm = Number.isFinite(firmness)
        ? `; keeps its group in ${Math.round(100 * firmness)} % of calibrations`
        : "";
      words.textContent = (GROUP_WORDS[group] ?? "") + firm;
      if (last && last !== group)
        live.textContent = `Group ${group}, ${GROUP_WORDS[group] ?? ""}; was ${last}.`;
      last = group;
    }
    list.replaceChildren(
      ...criteria.map((one) => criterionRow(one, values[one.name], distances[one.name])),
    );
  });
  return h("section", { class: "px-verdict", "aria-label": "Group" }, headline, list, live);
}

function criterionRow({ name, threshold }, value, distance) {
  const isKnown = Number.isFinite(value);
  const isInside = distance > 0;
  const bar = h("span", {
    class: "px-bar",
    "aria-hidden": "true",
    "data-inside": String(isInside),
  });
  const share = isKnown && threshold > 0 && value >= 0 ? value / threshold : NaN;
  if (Number.isNaN(share)) bar.classList.add("px-empty");
  else bar.style.setProperty("--at", `${clamp(50 * share, 1, 99)}%`);
  return h(
    "div",
    {},
    h("dt", {}, visible(criterionName(name))),
    h(
      "dd",
      {},
      h("b", {}, isKnown ? figure(value) : "none"),
      bar,
      h("span", { class: "px-quiet" }, distanceText(threshold, distance)),
    ),
  );
}

function distanceText(threshold, distance) {
  if (!Number.isFinite(distance)) return "";
  if (Math.abs(distance) <= 1e-9 * Math.abs(threshold))
    return `at the threshold ${figure(threshold)}`;
  const side = distance > 0 ? "inside" : "outside";
  return `${figure(Math.abs(distance))} ${side} the threshold ${figure(threshold)}`;
}
