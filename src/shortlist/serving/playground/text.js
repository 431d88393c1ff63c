// A passage's text with stretches of it marked. Places are in code points, as the server counts them.

import { el } from "./dom.js";

/** Nodes for `text`, where `marks` are {start, end, kind, title?}; of marks that overlap, the first given wins. */
export function marked(text, marks) {
  if (!marks.length) return [document.createTextNode(text)];
  const points = Array.from(text);
  const owner = new Array(points.length).fill(null);
  for (const mark of marks) {
    for (let i = Math.max(0, mark.start); i < Math.min(mark.end, points.length); i++) owner[i] ??= mark;
  }
  const nodes = [];
  for (let start = 0, i = 1; i <= points.length; i++) {
    if (i < points.length && owner[i] === owner[start]) continue;
    const piece = points.slice(start, i).join("");
    const mark = owner[start];
    const name = mark?.kind === "title" ? "b" : "mark";
    nodes.push(mark ? el(name, { class: mark.kind, title: mark.title }, piece) : document.createTextNode(piece));
    start = i;
  }
  return nodes;
}
