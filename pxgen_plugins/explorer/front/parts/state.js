// The state of the explorer.

const HISTORY = 200; // states that undo can reach

class Explorer {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.listeners = new Map();
    this.state = { z: [], amounts: {}, strokes: [] };
    this.modelIndex = 0;
    this.history = [];
    this.selected = [];
    this.answer = null; // of the newest decode
    this.sentCode = "";
  }

  on(name, listener) {
    if (!this.listeners.has(name)) this.listeners.set(name, []);
    this.listeners.get(name).push(listener);
  }

  fire(name, ...values) {
    for (const listener of this.listeners.get(name) ?? []) listener(...values);
  }

  ask(kind, body) {
    return this.requests.ask(kind, body);
  }

  // A participant of a study sees the task and nothing else.
  get isTaskAlone() {
    return String(this.info.tools) === "task";
  }

  groupOf(index) {
    const { plane, groups } = this.info;
    return plane ? (groups[plane.group[index]] ?? null) : null;
  }

  labelOf(index) {
    return visible(this.info.anchors?.labels?.[index] ?? "");
  }

  // Replaces parts of the state, as one step of undo, and shows the picture. A new code comes from
  // an anchor or a sample, which is the answer `origin`, or from neither.
  change(parts, origin = null) {
    Object.assign(this.state, parts);
    if (parts.z) this.fire("origin", origin);
    this.fire("state");
    this.commit();
    return this.decode();
  }

  commit() {
    const text = JSON.stringify(this.state);
    if (this.history.at(-1) === text) return;
    this.history.push(text);
    if (this.history.length > HISTORY) this.history.shift();
    this.fire("history");
  }

  undo() {
    if (this.history.length < 2) return;
    this.history.pop();
    const { z } = this.state;
    this.state = JSON.parse(this.history.at(-1));
    if (String(z) !== String(this.state.z)) this.fire("origin", null);
    this.fire("state");
    this.fire("history");
    this.decode();
  }

  // Asks for the picture of the state with all that is known of it.
  async decode() {
    const answer = await this.#picture({});
    if (answer?.code && this.modelIndex === 0) {
      this.sentCode = JSON.stringify(answer.code);
      this.model.set("code", answer.code);
      this.model.save_changes();
    }
    return Boolean(answer);
  }

  // While something is dragged, of parts that replace the state's: the picture alone comes first,
  // the rest when the model has nothing newer to do. A slow model says the rest at the end alone.
  async glance(parts = {}) {
    const { slow } = this.info;
    const how = { ...parts, alone: true, small: Boolean(slow) };
    const answer = await this.ask("decode", this.#request(how));
    if (!answer) return;
    this.fire("glance", answer);
    if (!slow && !this.requests.isUnderWay("decode")) this.#picture(parts);
  }

  async #picture(parts) {
    const answer = await this.ask("decode", this.#request(parts));
    if (!answer) return null;
    this.answer = answer;
    this.fire("picture", answer);
    return answer;
  }

  #request(parts) {
    return { ...this.state, ...parts, model: this.modelIndex };
  }

  async startFromAnchor(index) {
    const answer = await this.ask("anchor", { index, model: this.modelIndex });
    if (answer) await this.#startFrom(answer);
  }

  async sample(seed) {
    const answer = await this.ask("sample", { seed, model: this.modelIndex });
    if (answer) await this.#startFrom(answer);
  }

  // A model without codes shows what it was given, or has drawn.
  async #startFrom(answer) {
    if (answer.z?.length) return this.change({ z: answer.z, amounts: {}, strokes: [] }, answer);
    this.answer = answer;
    this.fire("origin", answer);
    return this.fire("picture", answer);
  }

  // The code of the picture that is shown, with all sliders where they are.
  get code() {
    return this.answer?.code ?? this.state.z;
  }

  async select(indices) {
    this.selected = [...new Set(indices)].sort((a, b) => a - b);
    this.fire("selected", null);
    this.model.set("selected", this.selected);
    this.model.save_changes();
    const answer = await this.ask("select", { indices: this.selected });
    if (answer) this.fire("selected", answer);
  }
}
