// One press of the button: find or take the passages, run every reranker at once, then read, before and after.

import { kOf, read } from "./answers.js";
import { Run, firstStage } from "./run.js";
import { fullText } from "./passages.js";

export class Session {
  /** `asked` is the form's state; `shown` is told what changes: {runs, update, answers}. */
  constructor(client, asked, models, shown) {
    Object.assign(this, { client, asked, models, shown });
    this.stopping = new AbortController();
    this.passages = [];
    this.runs = [];
    this.first = null;
    this.before = new Map(); // answers from the first stage's best, by how many were read
  }

  stop() {
    this.stopping.abort();
  }

  async go(typed) {
    this.passages = typed ?? (await this.#search());
    this.first = firstStage(this.passages);
    this.runs = this.models.map((model) => new Run(model, this.passages));
    this.shown.runs(this);
    if (!this.passages.length) return;
    await Promise.all(this.runs.map((run) => this.#rank(run)));
    if (this.asked.read && !this.stopping.signal.aborted) await this.#readAll();
  }

  async #search() {
    const { query, corpus, depth } = this.asked;
    const { results } = await this.client.post("v1/search", { query, corpus, depth }, this.stopping.signal);
    return results.map(({ id, text, title, score }) => ({ id, text, title, score }));
  }

  async #rank(run) {
    const began = performance.now();
    try {
      for await (const [name, data] of this.client.stream("v1/rerank/stream", this.#body(run), this.stopping.signal)) {
        if (name === "done") run.seconds = (performance.now() - began) / 1000;
        run.hear(name, data);
        this.shown.update(run);
      }
      if (!run.ended) run.fail({ message: "The stream ended before the ranking did." });
    } catch (error) {
      if (error.name === "AbortError") run.stop();
      else run.fail(error);
    }
    this.shown.update(run);
  }

  #body(run) {
    const { query, spans, deadline, maxTokens, instruction } = this.asked;
    const scores = this.passages.map((passage) => passage.score);
    const rerank = { explain: true, on_error: "report" };
    if (deadline) rerank.deadline_ms = deadline;
    if (instruction) rerank.instruction = instruction;
    if (scores.length && scores.every((score) => score !== undefined)) rerank.first_stage_scores = scores;
    const body = { model: run.model.id, query, documents: this.passages.map(fullText), rerank };
    if (spans) body.relevant_spans = { mode: "enabled" };
    if (maxTokens) body.max_tokens_per_doc = maxTokens;
    return body;
  }

  // ---------------------------------------------------------------------------------------------- reading

  /** Before, once for every number of passages that is read; after, of every ranking that came about. */
  async #readAll() {
    const ranked = this.runs.filter((run) => run.reply && run.status !== "failed");
    const ks = [...new Set((ranked.length ? ranked : [this.first]).map((run) => kOf(run, this.asked.keep)))];
    const before = ks.map((k) => this.#read(this.first, k, "Before", (answer) => this.before.set(k, answer)));
    const after = ranked.map((run) => this.#read(run, kOf(run, this.asked.keep), "After", (answer) => (run.answer = answer)));
    this.shown.answers();
    await Promise.all([...before, ...after]);
  }

  async #read(run, k, label, keep) {
    const show = (answer) => {
      keep({ label, k, ...answer });
      this.shown.answers();
    };
    keep({ label, k, state: "reading", citations: [] });
    try {
      show(await read(this.client, this.asked.query, run, k, this.stopping.signal));
    } catch (error) {
      show({ state: "failed", citations: [], problem: error.name === "AbortError" ? "Stopped." : error.message });
    }
  }

  /** Everything there is to know, for a file. */
  get exported() {
    return {
      made_by: "shortlist playground",
      made_at: new Date().toISOString(),
      asked: this.asked,
      passages: this.passages,
      before: [...this.before.values()],
      runs: this.runs.map((run) => ({
        model: run.model,
        status: run.status,
        problem: run.problem ? { message: run.problem.message, status: run.problem.status } : null,
        order: run.order,
        seconds_in_browser: run.seconds,
        steps: run.steps,
        reply: run.reply,
        answer: run.answer,
      })),
    };
  }
}
