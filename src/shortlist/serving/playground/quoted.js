// Where a part of an answer stands in a passage, for answers that quote none of them whole.

const FEWEST = 3; // words; fewer in a row say little

/** The longest run of the answer's words in a text, {start, end} in code points; null if it is short. */
export function quoted(answer, text) {
  const asked = wordsOf(answer).map((word) => word.text);
  const words = wordsOf(text);
  let best = { length: 0, last: 0 };
  let above = new Array(asked.length).fill(0); // run lengths that end at the word before, by the answer's word
  for (const [i, word] of words.entries()) {
    const row = asked.map((one, j) => (one === word.text ? 1 + (j ? above[j - 1] : 0) : 0));
    const length = Math.max(0, ...row);
    if (length > best.length) best = { length, last: i };
    above = row;
  }
  if (best.length < FEWEST) return null;
  const points = (end) => Array.from(text.slice(0, end)).length;
  return { start: points(words[best.last - best.length + 1].start), end: points(words[best.last].end) };
}

function wordsOf(text) {
  return Array.from(text.matchAll(/[\p{L}\p{N}_]+/gu), (found) => ({
    text: found[0].toLowerCase(),
    start: found.index,
    end: found.index + found[0].length,
  }));
}
