// What was judged, step by step, while it happens: the windows or groups, the order each got, the model's reasoning.

import { el, say, svg } from "./dom.js";
import { plural, raw } from "./format.js";

export class Steps {
  constructor(size) {
    this.size = size;
    this.shown = 0;
    this.single = null; // the one row of a run that judges passages one by one
    this.title = el("summary", {}, "Steps");
    this.list = el("ol", { class: "steps-list", tabindex: "0", "aria-label": "Steps" });
    this.node = el("details", { class: "steps", hidden: true }, this.title, this.list);
    this.touched = false; // who opened or closed it: it is left as the reader of the page wants it
    this.title.addEventListener("click", () => (this.touched = true));
  }

  update(run) {
    this.node.hidden = run.steps.length === 0;
    const fresh = run.steps.slice(this.shown);
    this.shown = run.steps.length;
    const together = fresh.filter((slate) => slate.documents.length > 1 || slate.reasoning || slate.problems);
    if (together.length && !this.list.childElementCount) this.node.open = true;
    together.forEach((slate) => this.list.append(this.#row(slate, this.list.childElementCount + 1)));
    if (fresh.length > together.length) this.#alone(run);
    if (together.length) this.list.scrollTop = this.list.scrollHeight;
    if (run.ended && !this.touched) this.node.open = false;
    say(this.title, this.#head(run));
  }

  #head(run) {
    const noun = { listwise: "window", groupwise: "group", setwise: "set", pairwise: "pair" }[run.model.mode] ?? "step";
    const steps = run.steps.filter((slate) => slate.documents.length > 1).length;
    const why = run.steps.some((slate) => slate.reasoning) ? ", with reasons" : "";
    const bad = run.steps.filter((slate) => slate.status === "failed").length;
    return steps ? `${plural(steps, noun)} judged${bad ? `, ${bad} failed` : ""}${why}` : `${plural(run.judged.size, "passage")} judged one by one`;
  }

  #row(slate, number) {
    const failed = slate.status === "failed";
    return el(
      "li",
      { class: failed ? "step bad" : "step" },
      this.#strip(new Set(slate.documents), bestOf(slate)),
      el("span", { class: "step-said" }, el("b", {}, `${number}`), ` ${saidOf(slate)}`),
      slate.reasoning ? el("blockquote", {}, slate.reasoning) : null,
      ...(slate.problems ?? []).map((problem) => el("p", { class: "step-problem" }, problem)),
    );
  }

  /** One mark a passage, in first-stage order; those of the step are filled. */
  #strip(places, best) {
    const marks = Array.from({ length: this.size }, (_, i) =>
      svg("rect", { x: i * 6, y: 0, width: 4, height: 8, rx: 1, class: i === best ? "best" : places.has(i) ? "in" : "out" }),
    );
    return svg("svg", { class: "strip", viewBox: `0 0 ${this.size * 6} 8`, preserveAspectRatio: "none", "aria-hidden": "true" }, marks);
  }

  #alone(run) {
    const row = el("li", { class: "step" }, this.#strip(run.judged, null), el("span", { class: "step-said" }, `${run.judged.size} of ${plural(this.size, "passage")} scored`));
    if (this.single) this.single.replaceWith(row);
    else this.list.append(row);
    this.single = row;
  }
}

const bestOf = (slate) => slate.order?.[0] ?? slate.best ?? (slate.scores ? slate.documents[highest(slate.scores)] : null);

const highest = (scores) => scores.reduce((best, value, i) => ((value ?? -Infinity) > (scores[best] ?? -Infinity) ? i : best), 0);

function saidOf(slate) {
  const name = (place) => `#${place + 1}`;
  if (slate.status === "failed") return `${slate.documents.map(name).join(", ")}: not judged`;
  if (slate.scores) return slate.documents.map((place, i) => `${name(place)} ${slate.scores[i] === null ? "–" : raw(slate.scores[i])}`).join(" · ");
  if (slate.order) return slate.order.map(name).join(" › ") || "none kept";
  return `best of ${slate.documents.map(name).join(", ")}: ${slate.best === undefined ? "none" : name(slate.best)}`;
}
