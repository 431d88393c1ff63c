// A column of the board: what one run is, how it goes, and its passages in its order.

import { answerNode, citedMarks } from "./answers.js";
import { Card } from "./card.js";
import { el, say } from "./dom.js";
import { reorder } from "./flip.js";
import { count, milliseconds, plural, statusTold, statusWord } from "./format.js";
import { Steps } from "./steps.js";

export class Column {
  constructor(run, { first = false } = {}) {
    this.run = run;
    this.first = first;
    this.kept = null;
    this.answers = []; // shown under the head
    this.cards = run.passages.map((passage, place) => new Card(place, passage, first));
    this.steps = new Steps(run.passages.length);
    this.#build();
    if (first) this.#showFound();
    this.update();
  }

  #build() {
    this.status = el("span", { class: "status" });
    this.progress = el("progress", { max: this.run.passages.length, value: 0, "aria-label": "Passages judged", hidden: true });
    this.costs = el("dl", { class: "costs" });
    this.problems = el("div", { class: "column-problems" });
    this.answerBox = el("div", { class: "answers" });
    this.cut = el("div", { class: "cutoff" });
    this.list = el("ol", { class: "items" });
    const name = this.first ? "First stage" : this.run.model.id;
    const mode = this.first ? "as given" : this.run.model.mode;
    const head = el("div", { class: "column-head" }, el("h3", {}, name), el("span", { class: "mode" }, mode), this.first ? null : this.status);
    this.node = el(
      "section",
      { class: this.first ? "column first" : "column", "aria-label": name, "data-model": this.run.model.id },
      el("div", { class: "head" }, head, this.progress, this.costs, this.problems),
      this.answerBox,
      el("div", { class: "steps-box" }, this.steps.node),
      this.list,
    );
  }

  #showFound() {
    for (const card of this.cards) {
      const found = this.run.passages[card.place].score;
      if (found !== undefined) card.found(found);
    }
  }

  /** Bring it to what its run is now; true if passages travel. */
  update() {
    const { run } = this;
    this.kept = run.cutoff;
    this.steps.update(run);
    this.#head();
    this.#marks();
    run.order.forEach((place, rank) => this.cards[place].update(run, rank, this.kept));
    const travels = reorder(this.list, run.order.map((place) => this.cards[place].node));
    this.#cutoff();
    this.#tabStop();
    return travels;
  }

  /** Show answers, and mark what they cite. */
  answer(answers, onCite) {
    this.answers = answers;
    const whose = this.first ? "the first stage's" : "the reranker's";
    this.answerBox.replaceChildren(...answers.map((answer) => answerNode(answer, whose, (place) => onCite(this, place))));
    this.#marks();
  }

  #head() {
    const { run } = this;
    if (this.first) {
      say(this.costs, "");
      this.costs.replaceChildren(el("div", { class: "wide" }, el("dt", {}, "Order"), el("dd", {}, run.passages.some((p) => p.score !== undefined) ? "by the search's score" : "as the passages came")));
      return;
    }
    const judging = run.status === "running" && run.judged.size < run.passages.length;
    say(this.status, judging ? `${run.judged.size} of ${run.passages.length}` : statusWord(run.status));
    this.status.className = `status ${run.status}`;
    this.progress.hidden = run.ended;
    if (run.judged.size) this.progress.value = run.judged.size;
    else this.progress.removeAttribute("value");
    this.costs.replaceChildren(...costs(run).map(([name, value, hint]) => el("div", {}, el("dt", {}, name), el("dd", { title: hint }, value))));
    this.problems.replaceChildren(...problemsOf(run).map(([kind, text]) => el("p", { class: kind }, text)));
  }

  #marks() {
    const cited = citedMarks(this.answers);
    for (const card of this.cards) {
      const spans = (this.run.results.get(card.place)?.spans ?? []).map((span) => ({ ...span, kind: "span", title: `Carries ${Math.round(span.score * 100)} % of the match` }));
      card.mark([...(cited.get(card.place) ?? []), ...spans]);
    }
  }

  #cutoff() {
    const { kept, run } = this;
    this.cut.remove();
    if (kept === null) return;
    say(this.cut, `cutoff · ${plural(kept, "passage")} kept`);
    if (kept === 0) this.list.before(this.cut);
    else this.cards[run.order[kept - 1]].node.append(this.cut);
    this.node.classList.toggle("none-kept", kept === 0);
  }

  /** One stop for the Tab key a column; arrows go on from there. */
  #tabStop() {
    const inside = this.cards.find((card) => card.button === document.activeElement);
    const stop = inside ?? this.cards[this.run.order[0]];
    for (const card of this.cards) card.button.tabIndex = card === stop ? 0 : -1;
  }
}

function costs(run) {
  const usage = run.told?.usage;
  if (!usage) return run.ended ? [] : [["Calls", "…"], ["Tokens", "…"], ["Time", "…"]];
  const tokens = usage.prompt_tokens + usage.completion_tokens;
  const rows = [
    ["Calls", count(usage.calls), "Calls of the model"],
    ["Tokens", count(tokens), `${count(usage.prompt_tokens)} read, ${count(usage.completion_tokens)} written`],
    ["Time", milliseconds(run.told.seconds), `${milliseconds(usage.model_seconds)} in the model; ${milliseconds(run.seconds ?? run.told.seconds)} as seen from here`],
  ];
  return run.told.cached ? [...rows, ["Cached", count(run.told.cached), "Calls answered from the cache"]] : rows;
}

function problemsOf(run) {
  const told = run.told ?? {};
  const shown = [];
  if (run.problem) shown.push(["problem", run.problem.message]);
  else if (run.ended && statusTold(run.status)) shown.push([run.status === "failed" ? "problem" : "warning", statusTold(run.status)]);
  if (!run.ended) return shown;
  if (told.deadline_passed) shown.push(["warning", "The deadline passed; this is the best ranking by then."]);
  if (told.unjudged) shown.push(["warning", `${plural(told.unjudged, "passage")} not judged.`]);
  if (told.truncated) shown.push(["warning", `${plural(told.truncated, "passage")} cut to what the model takes.`]);
  for (const text of new Set([...(told.problems ?? []), ...run.warnings])) shown.push(["warning", text]);
  const heard = run.steps.some((slate) => slate.reasoning);
  if (!heard) for (const text of told.reasoning ?? []) shown.push(["reasoning", text]);
  return shown.slice(0, 12);
}
