// Pictures, texts and rows.

const urls = new WeakMap();

function showPng(img, bytes) {
  const old = urls.get(img);
  const url = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  urls.set(img, url);
  img.src = url;
  if (old) URL.revokeObjectURL(old);
}

// What a model makes: `parts` has an image, a text with its tokens, or a row of columns and values.
function view(explorer, name) {
  const { data } = explorer.info;
  const root = h("div", { class: "px-view", "data-kind": data.kind });
  let img = null;
  let more = null;
  function showImage(bytes, text) {
    if (!img) {
      img = h("img", { class: "px-picture", draggable: "false" });
      img.classList.toggle("px-pixelated", Math.max(data.height ?? 0, data.width ?? 0) <= 128);
      root.prepend(img);
    }
    showPng(img, bytes);
    img.alt = text ?? name;
  }
  function show(answer, parts, text, before) {
    if (parts.image?.buffer !== undefined) showImage(answer.buffers[parts.image.buffer], text);
    const words = parts.row
      ? rowTable(parts.row, before)
      : parts.text != null
        ? textView(parts)
        : null;
    more?.remove();
    if (words) root.append(words);
    more = words;
  }
  return { root, show };
}

// What an answer has in one place, a picture, a text or a row, as `view` takes it.
function partsOf(thing) {
  if (thing == null) return null;
  if (typeof thing === "string") return { text: thing };
  return Array.isArray(thing) ? { row: thing } : { image: thing };
}

function textView({ text, tokens, continuation }) {
  const area = h("p", { class: "px-text" });
  if (!tokens?.length) area.append(text || "No text.");
  const most = Math.max(...(tokens ?? []).map(([, cost]) => cost ?? 0), 1e-9);
  for (const [words, cost] of tokens ?? []) {
    const mark = h("span", { class: "px-token", title: `${figure(cost)} nats` }, words);
    mark.style.setProperty("--cost", `${Math.round(100 * clamp((cost ?? 0) / most, 0, 1))}%`);
    area.append(mark);
  }
  const root = h("div", {}, area);
  if (tokens?.length) {
    const total = tokens.reduce((sum, [, cost]) => sum + (cost ?? 0), 0);
    const words = `Shade: what a token costs, at most ${figure(most)} nats; ${figure(total)} in all.`;
    root.append(h("p", { class: "px-quiet" }, words));
  }
  if (continuation) {
    const part = (title, words) => [h("dt", {}, title), h("dd", {}, words || "nothing")];
    const parts = [
      ...part("Its own end", continuation.own),
      ...part("The model goes on", continuation.model),
    ];
    root.append(h("dl", { class: "px-ends" }, ...parts));
  }
  return root;
}

function rowTable(row, before) {
  const old = before ? new Map(before) : null;
  const body = row.map(([column, value]) => {
    const head = h("th", { scope: "row" }, visible(column));
    if (!old) return h("tr", {}, head, h("td", {}, value));
    const was = old.get(column);
    const cells = [was ?? "", value, changeText(was, value)].map((words) => h("td", {}, words));
    return h("tr", { class: was === value ? null : "px-changed" }, head, ...cells);
  });
  const heads = old ? ["Column", "Before", "Now", "Change"] : ["Column", "Value"];
  return h(
    "table",
    { class: "px-row" },
    h("thead", {}, h("tr", {}, ...heads.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, ...body),
  );
}

function changeText(was, value) {
  if (was === value) return "";
  const [from, to] = [was, value].map((text) => Number(String(text).replaceAll(",", "")));
  if (!Number.isFinite(to - from)) return "changed";
  const size = Number(Math.abs(to - from).toPrecision(4)).toLocaleString("en", {
    maximumFractionDigits: 6,
  });
  return (to > from ? "+" : "\u2212") + size;
}
