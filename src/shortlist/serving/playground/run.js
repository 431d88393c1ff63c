// One reranker's run over the passages: what is known of it, and what each event changes.

export class Run {
  constructor(model, passages) {
    this.model = model;
    this.passages = passages;
    this.status = "waiting";
    this.order = passages.map((_, place) => place);
    this.results = new Map(); // by place: {relevance, raw, kind, judged, spans}
    this.steps = []; // slates, as the stream told them
    this.current = new Set(); // the places judged last, where several were judged together
    this.judged = new Set();
    this.told = null; // meta.rerank of the last reply
    this.reply = null; // the last reply, whole
    this.warnings = [];
    this.problem = null; // why there is no reply
    this.answer = null; // {state, text, status, citations, seconds, tokens, k, problem}
    this.seconds = null; // as seen from here
  }

  get ended() {
    return !["waiting", "running"].includes(this.status);
  }

  get cutoff() {
    return this.ended ? (this.told?.cutoff ?? null) : null;
  }

  /** Apply an event of the stream. */
  hear(name, data) {
    if (name === "judged") this.#hearSteps(data.slates);
    else if (name === "ranking") this.#hearReply(data, "running");
    else if (name === "done") this.#hearDone(data);
    else if (name === "error") this.fail({ message: data.message ?? data.detail ?? "the server gave no reason" });
  }

  #hearSteps(slates) {
    this.status = "running";
    this.steps.push(...slates);
    for (const slate of slates) slate.documents.forEach((place) => this.judged.add(place));
    const together = slates.filter((slate) => slate.documents.length > 1);
    this.current = new Set(together.length ? together.at(-1).documents : []);
  }

  #hearReply(reply, status) {
    this.status = status;
    this.reply = reply;
    this.told = reply.meta.rerank;
    this.warnings = reply.meta.warnings ?? [];
    this.order = reply.results.map((result) => result.index);
    this.results = new Map(reply.results.map((result) => [result.index, resultOf(result)]));
  }

  #hearDone(reply) {
    this.#hearReply(reply, reply.meta.rerank.status);
    this.current = new Set();
  }

  fail(problem) {
    this.status = "failed";
    this.problem = problem;
    this.current = new Set();
  }

  stop() {
    if (!this.ended) this.status = "stopped";
    this.current = new Set();
  }
}

function resultOf(result) {
  const more = result.rerank ?? {};
  return {
    relevance: result.relevance_score,
    raw: more.raw_score ?? null,
    kind: more.score_kind ?? null,
    judged: more.judged !== false,
    spans: result.relevant_spans ?? [],
  };
}

/** The first stage: an order that is there from the start. */
export function firstStage(passages) {
  const run = new Run({ id: "first-stage", mode: "none" }, passages);
  run.status = "ok";
  return run;
}
