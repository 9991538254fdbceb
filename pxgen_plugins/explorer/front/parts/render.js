// What a host calls.

// In a notebook "auto" follows the notebook's own theme, which the system's need not be.
function themeOf(theme) {
  if (theme === "light" || theme === "dark") return theme;
  const { jpThemeLight, vscodeThemeKind } = document.body.dataset;
  if (jpThemeLight !== undefined) return jpThemeLight === "true" ? "light" : "dark";
  if (vscodeThemeKind !== undefined) return vscodeThemeKind.includes("light") ? "light" : "dark";
  return "auto";
}

function toolPages(explorer) {
  const { tools, paint, models, anchors, data } = explorer.info;
  const pages = [];
  const add = (name, title, make, isPossible) => {
    if (tools.includes(name) && isPossible) pages.push({ name, title, body: make(explorer) });
  };
  add("paint", "Paint", paintPage, paint?.layers.length && data.kind === "image");
  add("walk", "Walk", walkPage, anchors?.n > 1);
  add("compare", "Two models", comparePage, models.length > 1);
  add("task", "Task", taskPage, true);
  return pages;
}

function layout(explorer) {
  const { axes, plane, tools } = explorer.info;
  const panels = h("div", { class: "px-panels" });
  const isAll = !explorer.isTaskAlone;
  if (isAll) {
    const steer = h("div", { class: "px-column px-steer" });
    if (axes?.length && tools.includes("sliders")) steer.append(slidersPanel(explorer));
    steer.append(startPanel(explorer));
    panels.append(picturePanel(explorer), verdict(explorer), steer);
  }
  const pages = toolPages(explorer);
  if (pages.length) {
    const { list, show } = tabs("Tools", pages, (name) => explorer.fire("tool", name));
    const bodies = pages.map(({ body }) => body);
    panels.append(h("section", { class: "px-tools", "aria-label": "Tools" }, list, ...bodies));
    show(0);
  }
  if (isAll) {
    const evidence = h("div", { class: "px-column px-evidence" });
    if (plane && tools.includes("groups")) evidence.append(planePanel(explorer));
    evidence.append(nearestPanel(explorer));
    panels.append(evidence);
  } else panels.classList.add("px-alone");
  return panels;
}

function render({ model, el }) {
  const alert = h("div", { class: "px-alert", role: "alert", hidden: true });
  const main = h(
    "div",
    { class: "px-main", "aria-busy": "true" },
    h("p", { class: "px-quiet" }, "The model is opening."),
  );
  // JupyterLab leaves keys alone below this attribute, other hosts when they do not hear of them.
  const attributes = { class: "px-explorer", "data-lm-suppress-shortcuts": "true" };
  const root = h("div", attributes, alert, main);
  root.addEventListener("keydown", (event) => event.stopPropagation());
  el.replaceChildren(root);
  const explorer = new Explorer(model, root);
  const busy = new Set();
  let complaint = null; // the kind of request that failed last; it goes with the next good picture
  const say = (text, ...more) => {
    alert.replaceChildren(h("span", {}, text), ...more);
    alert.hidden = !text;
  };
  const status = {
    asking: (n) => root.toggleAttribute("data-asking", n > 0),
    busy(kind, isBusy) {
      if (isBusy) busy.add(kind);
      else busy.delete(kind);
      root.toggleAttribute("data-busy", busy.size > 0);
      main.setAttribute("aria-busy", String(busy.size > 0));
    },
    error(text, kind) {
      if (text) complaint = kind;
      if (text || kind === complaint || kind === "decode") say(text);
    },
    late(isLate) {
      if (!isLate) return alert.querySelector("button") && say("");
      const again = button("Try again", () => {
        explorer.requests.forget();
        explorer.info ? explorer.decode() : open();
      });
      return say(
        "No answer for 30 seconds: the model is slow, or its Python process has ended. ",
        again,
      );
    },
  };
  explorer.requests = new Requests(model, status);

  async function open() {
    const answer = await explorer.ask("open");
    if (!answer) return;
    explorer.info = answer.info ? { ...answer.info, buffers: answer.buffers } : answer;
    explorer.thumbnails = new Thumbnails(explorer);
    followTheme();
    explorer.selected = model.get("selected") ?? [];
    const title = h("h1", {}, visible(explorer.info.title || "Explorer"));
    const head = explorer.isTaskAlone
      ? h("header", { class: "px-head" }, title)
      : toolbar(explorer, title);
    main.replaceChildren(head, layout(explorer));
    explorer.fire("selected", null);
    if (!explorer.isTaskAlone) await begin(model.get("code") ?? []);
    root.dataset.ready = "";
  }

  async function begin(code) {
    if (code.length) await explorer.change({ z: [...code] });
    else if (explorer.info.axes?.length) await explorer.sample(0);
    else if (explorer.info.anchors?.n) await explorer.startFromAnchor(0);
  }

  const followTheme = () => {
    const own = model.get("theme");
    root.dataset.theme = themeOf(own && own !== "auto" ? own : explorer.info?.theme);
    explorer.fire("theme");
  };
  const followCode = () => {
    const code = model.get("code") ?? [];
    if (
      !explorer.info ||
      explorer.isTaskAlone ||
      !code.length ||
      JSON.stringify(code) === explorer.sentCode
    )
      return;
    explorer.change({ z: [...code], amounts: {}, strokes: [] });
  };
  const followSelected = () => {
    const selected = model.get("selected") ?? [];
    if (!explorer.info || String(selected) === String(explorer.selected)) return;
    explorer.selected = [...selected];
    explorer.fire("selected", null);
  };
  const followers = {
    "change:theme": followTheme,
    "change:code": followCode,
    "change:selected": followSelected,
  };
  for (const [name, listener] of Object.entries(followers)) model.on(name, listener);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", followTheme);
  followTheme();
  open();
  return () => {
    explorer.fire("close");
    explorer.requests.close();
    for (const [name, listener] of Object.entries(followers)) model.off(name, listener);
    dark.removeEventListener("change", followTheme);
  };
}

export default { initialize() {}, render };
