// Hosts explorer.js in a browser: anywidget's `model`, with messages that go to the server by POST.
import explorer from "./explorer.js";

const GONE = "The server does not answer any more: start it again, and open the address it prints.";
const NO_TOKEN = "This page has no key: open the address that the server printed.";
const REFUSED = {
  403: "The key of this page is not valid any more: open the address that the server printed.",
  413: "This is more than the server takes at once: undo some of the painting.",
};

// The key comes in the fragment, which no request holds, and leaves the address bar at once; the
// tab keeps it, so that a reload works.
function takeToken() {
  const given = location.hash.slice(1);
  if (given) sessionStorage.setItem("token", given);
  history.replaceState(null, "", location.pathname);
  return given || (sessionStorage.getItem("token") ?? "");
}

// Pictures come as {"png": base64}; explorer.js knows them as {"buffer": i}, as in a notebook.
function unpack(value, buffers) {
  if (Array.isArray(value)) return value.map((one) => unpack(one, buffers));
  if (value === null || typeof value !== "object") return value;
  const { png, ...rest } = value;
  const entries = Object.entries(rest).map(([name, one]) => [name, unpack(one, buffers)]);
  if (typeof png !== "string") return { ...value, ...Object.fromEntries(entries) };
  buffers.push(Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0)));
  return { ...Object.fromEntries(entries), buffer: buffers.length - 1 };
}

class PageModel {
  #token = takeToken();
  #traits = { info: null, selected: [], code: [], theme: "auto" };
  #listeners = [];

  get(name) {
    return this.#traits[name];
  }

  set(name, value) {
    this.#traits[name] = value;
    this.#fire(`change:${name}`, value);
  }

  save_changes() {} // nobody else reads the traits of a page

  on(name, listener) {
    this.#listeners.push({ name, listener });
  }

  off(name, listener) {
    const isKept = (one) => one.name !== name || (listener && one.listener !== listener);
    this.#listeners = this.#listeners.filter(isKept);
  }

  async send(message) {
    const buffers = [];
    const answer = unpack(await this.#post(message), buffers);
    this.#fire("msg:custom", { ...answer, id: message.id, kind: message.kind }, buffers);
  }

  async #post(message) {
    if (!this.#token) return { error: NO_TOKEN };
    const headers = { "Content-Type": "application/json", "X-Token": this.#token };
    let response;
    try {
      response = await fetch("message", { method: "POST", headers, body: JSON.stringify(message) });
    } catch {
      return { error: GONE };
    }
    const answer = response.ok ? await response.json().catch(() => null) : null;
    if (answer) return answer;
    return { error: REFUSED[response.status] ?? `The server refused this (${response.status}).` };
  }

  #fire(name, ...values) {
    for (const one of [...this.#listeners]) if (one.name === name) one.listener(...values);
  }
}

const el = document.getElementById("explorer");
const model = new PageModel();
explorer.initialize({ model });
explorer.render({ model, el });
