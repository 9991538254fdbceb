// Messages to Python and their answers.

const SPINNER_AFTER = 300; // milliseconds
// Milliseconds without an answer before the page says so. A page that is saved takes many decodes.
const PATIENCE = 30_000;

// One request of a kind is under way at a time. One more waits; a newer one takes its place, and
// the older is answered with null. So a drag never makes a queue, however slow the model is.
class Requests {
  constructor(model, status) {
    this.model = model;
    this.status = status; // {asking(n), busy(kind, isBusy), error(text, kind), late(isLate)}
    this.slots = new Map(); // kind -> {flying, waiting}
    this.byId = new Map();
    // Several views of one widget get all answers: numbers and a name that others do not use.
    this.client = Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) =>
      n.toString(36),
    ).join("");
    this.lastId = Math.floor(Math.random() * 2 ** 20) * 2 ** 30;
    this.receive = (content, buffers) => this.#receive(content, buffers ?? []);
    model.on("msg:custom", this.receive);
  }

  ask(kind, body = {}) {
    return new Promise((resolve) => {
      if (!this.slots.has(kind)) this.slots.set(kind, { flying: null, waiting: null });
      const slot = this.slots.get(kind);
      const request = { kind, body, resolve };
      if (!slot.flying) return this.#launch(slot, request);
      slot.waiting?.resolve(null);
      slot.waiting = request;
    });
  }

  isUnderWay(kind) {
    return Boolean(this.slots.get(kind)?.flying);
  }

  // Frees everything that has no answer, for "try again".
  forget() {
    for (const id of [...this.byId.keys()]) this.#receive({ id, dropped: true }, []);
  }

  close() {
    this.model.off("msg:custom", this.receive);
    for (const { timers } of this.byId.values()) timers.forEach(clearTimeout);
  }

  #launch(slot, request) {
    request.id = ++this.lastId;
    request.timers = [setTimeout(() => this.status.busy(request.kind, true), SPINNER_AFTER)];
    if (request.kind !== "save_page")
      request.timers.push(setTimeout(() => this.status.late(true), PATIENCE));
    slot.flying = request;
    this.byId.set(request.id, request);
    this.status.asking(this.byId.size);
    this.model.send({ id: request.id, kind: request.kind, client: this.client, ...request.body });
  }

  #receive(content, buffers) {
    const request = this.byId.get(content?.id);
    if (!request) return; // another view's, or one that was given up
    this.byId.delete(request.id);
    request.timers.forEach(clearTimeout);
    const slot = this.slots.get(request.kind);
    slot.flying = null;
    if (slot.waiting) {
      this.#launch(slot, slot.waiting);
      slot.waiting = null;
    } else this.status.busy(request.kind, false);
    this.status.asking(this.byId.size);
    if (!this.byId.size) this.status.late(false);
    if (content.dropped || content.stale) return request.resolve(null);
    this.status.error(content.error ?? "", request.kind);
    request.resolve(content.error ? null : { ...content, buffers });
  }
}
