// The reader's answers: before, from the first stage's best; after, from a reranker's.

import { el } from "./dom.js";
import { count, milliseconds, plural } from "./format.js";
import { fullText } from "./passages.js";
import { quoted } from "./quoted.js";

export const KEPT_AT_LEAST = 3; // read where a reranker states no cutoff

/** How many passages to read of a run. */
export function kOf(run, keep) {
  if (keep !== "auto") return Math.min(Number(keep), run.passages.length);
  return Math.min(run.cutoff ?? KEPT_AT_LEAST, run.passages.length, 100);
}

/** Read the first `k` of a run's order; gives an answer whose citations name the passages' places. */
export async function read(client, query, run, k, signal) {
  const places = run.order.slice(0, k);
  const sent = places.length ? places : run.order.slice(0, 1); // with k = 0 the reader is asked with none
  const body = {
    query,
    documents: sent.map((place) => fullText(run.passages[place])),
    model: "first-stage", // they are in order already
    k,
    rerank: { on_error: "report" },
  };
  const began = performance.now();
  const reply = await client.post("v1/answer", body, signal);
  return {
    state: "done",
    k,
    text: reply.answer,
    status: reply.answer_status,
    citations: citationsOf(reply, body.documents.slice(0, k), sent),
    tokens: reply.usage.total_tokens,
    seconds: (performance.now() - began) / 1000,
  };
}

/** Where the whole answer stands, as the server found; if nowhere, where parts of it do. */
function citationsOf(reply, texts, places) {
  if (reply.citations.length || reply.answer === null) return reply.citations.map((citation) => ({ ...citation, place: places[citation.index] }));
  const parts = texts.map((text, i) => ({ ...quoted(reply.answer, text), index: i, place: places[i], part: true }));
  return parts.filter((part) => part.end !== undefined);
}

/** One answer, as a part of a column. */
export function answerNode(answer, whose, onCite) {
  const from = answer.k ? `from ${whose} ${answer.k === 1 ? "best passage" : `best ${answer.k}`}` : "from no passage";
  const head = el("p", { class: "answer-head" }, el("b", {}, answer.label), ` ${from}`);
  return el("div", { class: `answer ${answer.state}`, "data-label": answer.label }, head, ...bodyOf(answer, onCite));
}

function bodyOf(answer, onCite) {
  if (answer.state === "reading") return [el("p", { class: "answer-text muted" }, "Reading…")];
  if (answer.state === "failed") return [el("p", { class: "problem" }, answer.problem)];
  if (answer.status === "failed") return [el("p", { class: "problem" }, "The reader's reply could not be read.")];
  const said = answer.text === null ? el("p", { class: "answer-text muted" }, "No answer in these passages.") : el("p", { class: "answer-text" }, answer.text);
  return [said, cites(answer, onCite), el("p", { class: "answer-cost" }, `${plural(answer.tokens, "token")} · ${milliseconds(answer.seconds)}`)];
}

function cites(answer, onCite) {
  const places = [...new Set(answer.citations.map((citation) => citation.place))];
  if (!places.length) return answer.text === null ? null : el("p", { class: "answer-cost" }, "In none of them word for word.");
  return el(
    "p",
    { class: "cites" },
    answer.citations[0].part ? "In part in " : "Stands in ",
    places.map((place) => el("button", { type: "button", class: "cite", "aria-label": `Show cited passage ${count(place + 1)}`, onclick: () => onCite(place) }, `#${place + 1}`)),
  );
}

/** The stretches of each passage that an answer cites, by place. */
export function citedMarks(answers) {
  const marks = new Map();
  for (const answer of answers) {
    for (const { place, start, end } of answer?.citations ?? []) {
      marks.set(place, [...(marks.get(place) ?? []), { start, end, kind: "cited", title: "Cited by the answer" }]);
    }
  }
  return marks;
}
