// The form: what is asked, as a plain object that can be shared, and back.

import { byId, el, say } from "./dom.js";
import { EXAMPLE } from "./example.js";
import { plural } from "./format.js";
import { parsePassages } from "./passages.js";

const FIRST = "first-stage";

const KINDS = { logit: "logits", rank: "order only", probability: "probabilities", rating: "ratings", grade: "grades" };

export class Form {
  constructor() {
    this.models = [];
    this.corpora = [];
    this.reader = null;
    byId("passages").addEventListener("input", () => this.#count());
    for (const id of ["source"]) document.getElementsByName(id).forEach((radio) => radio.addEventListener("change", () => this.#switch()));
    this.#count();
  }

  /** Offer what the server has. */
  offer({ models, corpora, reader }) {
    const asked = this.models.length ? this.state : null;
    this.models = models;
    this.corpora = corpora;
    this.reader = reader;
    byId("models").replaceChildren(...models.map((model, i) => choice(model, model.id === FIRST || i === 0)));
    byId("sources").hidden = !corpora.length;
    byId("corpus").replaceChildren(...corpora.map((name) => el("option", { value: name }, name)));
    byId("reader-field").hidden = !reader;
    byId("read").checked = Boolean(reader);
    say(byId("reader-name"), reader ? ` ${reader}` : "");
    if (corpora.length && !byId("passages").value) this.source = "corpus";
    if (asked) this.state = asked;
    this.#switch();
  }

  get source() {
    return document.querySelector("input[name=source]:checked").value;
  }

  set source(value) {
    document.querySelector(`input[name=source][value=${value === "corpus" ? "corpus" : "paste"}]`).checked = true;
    this.#switch();
  }

  get chosen() {
    return [...document.querySelectorAll("#models input:checked")].map((box) => box.value);
  }

  get rerankers() {
    const chosen = new Set(this.chosen);
    return this.models.filter((model) => model.id !== FIRST && chosen.has(model.id));
  }

  get withFirst() {
    return this.chosen.includes(FIRST);
  }

  /** Everything in the form, as a link carries it. */
  get state() {
    const told = { query: byId("query").value, source: this.source, models: this.chosen };
    if (this.source === "corpus") Object.assign(told, { corpus: byId("corpus").value, depth: number("depth") ?? 20 });
    else told.passages = byId("passages").value;
    return Object.assign(told, {
      read: byId("read").checked,
      keep: byId("keep").value,
      spans: byId("spans").checked,
      deadline: number("deadline"),
      maxTokens: number("max-tokens"),
      instruction: byId("instruction").value,
    });
  }

  /** Fill the form; what is missing or of the wrong type is left as it is. */
  set state(told) {
    const texts = { query: "query", passages: "passages", instruction: "instruction" };
    for (const [name, id] of Object.entries(texts)) if (typeof told[name] === "string") byId(id).value = told[name];
    const numbers = { depth: "depth", deadline: "deadline", maxTokens: "max-tokens" };
    for (const [name, id] of Object.entries(numbers)) if (Number.isInteger(told[name]) && told[name] > 0) byId(id).value = String(told[name]);
    for (const name of ["read", "spans"]) if (typeof told[name] === "boolean") byId(name).checked = told[name];
    for (const name of ["keep", "corpus"]) pick(byId(name), told[name]);
    if (Array.isArray(told.models)) for (const box of document.querySelectorAll("#models input")) box.checked = told.models.includes(box.value);
    this.source = told.source === "corpus" && this.corpora.length ? "corpus" : "paste";
    this.#count();
  }

  /** The passages typed; throws what is wrong with them. */
  typed() {
    const { passages, problem } = parsePassages(byId("passages").value);
    if (problem) throw new Error(problem);
    return passages;
  }

  example() {
    this.source = "paste";
    byId("query").value = EXAMPLE.query;
    byId("passages").value = EXAMPLE.passages.join("\n\n");
    this.#count();
  }

  problem(text) {
    say(byId("form-problem"), text);
    byId("form-problem").hidden = !text;
  }

  #switch() {
    const corpus = this.source === "corpus";
    byId("corpus-field").hidden = !corpus;
    byId("paste-field").hidden = corpus;
  }

  #count() {
    const { passages, problem } = parsePassages(byId("passages").value);
    say(byId("passage-count"), problem ? "not readable yet" : passages.length ? plural(passages.length, "passage") : "");
  }
}

function choice(model, checked) {
  const first = model.id === FIRST;
  const about = first ? "as it came, to compare with" : [model.mode, model.calibrated ? "calibrated" : KINDS[model.score_kind] ?? model.score_kind].join(" · ");
  const box = el("input", { type: "checkbox", value: model.id });
  box.checked = checked;
  return el("label", { class: "check model" }, box, el("span", {}, el("b", {}, first ? "First stage" : model.id), el("small", {}, about)));
}

function number(id) {
  const value = byId(id).valueAsNumber;
  return Number.isInteger(value) && value > 0 ? value : null;
}

function pick(select, value) {
  if ([...select.options].some((option) => option.value === value)) select.value = value;
}
