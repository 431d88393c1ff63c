// Numbers and words as they are shown.

const COUNT = new Intl.NumberFormat("en");

export const count = (n) => COUNT.format(n);

/** "1 passage", "3 passages". */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

export function milliseconds(seconds) {
  const ms = seconds * 1000;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 10_000 ? `${count(Math.round(ms))} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** A score with as many digits as tell something. */
export function score(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return size !== 0 && size < 0.001 ? value.toExponential(1) : value.toFixed(size < 100 ? 3 : 1);
}

/** A model's own number: grades are whole. */
export const raw = (value) => (Number.isInteger(value) ? String(value) : score(value));

const WORDS = {
  waiting: "Waiting",
  running: "Ranking",
  ok: "Complete",
  repaired: "Complete, repaired",
  partial: "Partial",
  failed: "Failed",
  stopped: "Stopped",
};

export const statusWord = (status) => WORDS[status] ?? status;

const TOLD = {
  repaired: "The model's reply was not in the form asked for; nothing was lost in reading it.",
  partial: "Not every passage was judged; those keep their first-stage place.",
  failed: "Nothing could be judged; the first-stage order is shown.",
  stopped: "Stopped before the end; this is the best ranking so far.",
};

export const statusTold = (status) => TOLD[status];
