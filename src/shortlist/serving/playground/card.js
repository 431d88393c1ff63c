// One passage in a column: its rank, how far it moved, its scores, its words.

import { el, say } from "./dom.js";
import { raw, score } from "./format.js";
import { fullText } from "./passages.js";
import { marked } from "./text.js";

export class Card {
  constructor(place, passage, first) {
    this.place = place;
    this.text = fullText(passage);
    this.titled = passage.title ? Array.from(passage.title).length : 0;
    this.first = first;
    this.rank = el("span", { class: "rank" });
    this.moved = el("span", { class: "moved" });
    this.was = el("span", { class: "was", title: "Its place in the first stage" }, `#${place + 1}`);
    this.name = passage.id ? el("span", { class: "doc" }, passage.id) : null;
    this.value = el("span", { class: "value" });
    this.raw = el("span", { class: "raw" });
    this.bar = el("span", { class: "fill" });
    this.words = el("span", { class: "words" });
    this.note = el("span", { class: "note" });
    this.button = el(
      "button",
      { type: "button", class: "card", "aria-expanded": "false", tabindex: "-1", onclick: () => this.toggle() },
      el("span", { class: "top" }, this.rank, first ? null : this.moved, first ? null : this.was, this.name, this.note, el("span", { class: "scores" }, this.raw, this.value)),
      el("span", { class: "track", "aria-hidden": "true" }, this.bar),
      this.words,
    );
    this.node = el("li", { class: "item", "data-place": place }, this.button);
    this.drawn = null;
  }

  toggle(open = this.button.getAttribute("aria-expanded") !== "true") {
    this.button.setAttribute("aria-expanded", String(open));
  }

  /** Show what a run has for it at a rank. */
  update(run, rank, kept) {
    const result = run.results.get(this.place);
    say(this.rank, String(rank + 1));
    this.#move(this.place - rank);
    this.#scores(result);
    const flags = { current: run.current.has(this.place), beyond: kept !== null && rank >= kept, unjudged: result?.judged === false };
    for (const [name, on] of Object.entries(flags)) this.node.classList.toggle(name, on);
    say(this.note, flags.unjudged ? (run.ended ? "not judged" : "waiting") : "");
  }

  #move(up) {
    this.node.dataset.moved = String(Math.sign(up));
    if (this.first) return;
    say(this.moved, up > 0 ? `▲ ${up}` : up < 0 ? `▼ ${-up}` : "–");
    this.moved.setAttribute("title", up ? `${Math.abs(up)} ${up > 0 ? "up" : "down"} from the first stage` : "where the first stage had it");
  }

  #scores(result) {
    if (this.first) return;
    const known = result?.judged ? result : null;
    say(this.value, known ? score(known.relevance) : "");
    this.value.title = "Relevance, from 0 to 1";
    say(this.raw, rawOf(known));
    this.bar.style.width = `${known ? Math.max(0, Math.min(1, known.relevance)) * 100 : 0}%`;
  }

  /** A score that is the first stage's own. */
  found(value) {
    say(this.raw, `score ${raw(value)}`);
  }

  /** Mark stretches of its text. */
  mark(marks) {
    const key = JSON.stringify(marks);
    if (key === this.drawn) return;
    this.drawn = key;
    const title = this.titled ? [{ start: 0, end: this.titled, kind: "title" }] : [];
    this.words.replaceChildren(...marked(this.text, [...marks, ...title]));
    const cited = marks.some((mark) => mark.kind === "cited");
    this.node.classList.toggle("has-citation", cited);
  }
}

function rawOf(known) {
  if (!known) return "";
  return known.raw === null ? "by rank" : `${known.kind} ${raw(known.raw)}`;
}
