// From what was typed to passages: {text, title?, id?, score?}.

/** The passages of a text; `problem` says what is wrong with it, if anything is. */
export function parsePassages(typed) {
  const text = typed.trim();
  if (!text) return { passages: [], problem: null };
  if (!/^\[\s*["{\]]/.test(text)) return { passages: blocks(text), problem: null };
  let list;
  try {
    list = JSON.parse(text);
  } catch (error) {
    return { passages: [], problem: `This looks like a JSON list but cannot be read: ${error.message}` };
  }
  return listed(list);
}

function blocks(text) {
  return text
    .split(/\r?\n[ \t]*(?:\r?\n[ \t]*)+/)
    .map((block) => ({ text: block.trim() }))
    .filter((passage) => passage.text);
}

function listed(list) {
  const passages = [];
  for (const [place, item] of list.entries()) {
    const passage = typeof item === "string" ? { text: item } : fields(item);
    if (!passage) return { passages: [], problem: `Item ${place + 1} of the list is neither a string nor an object with a text.` };
    if (passage.text.trim()) passages.push(passage);
  }
  return { passages, problem: null };
}

function fields(item) {
  const text = item?.text ?? item?.content ?? item?.document?.text;
  if (typeof text !== "string") return null;
  const passage = { text };
  if (typeof item.title === "string" && item.title) passage.title = item.title;
  const id = item.id ?? item._id;
  if (typeof id === "string" || typeof id === "number") passage.id = String(id);
  if (Number.isFinite(item.score)) passage.score = item.score;
  return passage;
}

/** Title and text as one, as the server's own searches give it to rerankers. */
export const fullText = (passage) => (passage.title ? `${passage.title} ${passage.text}` : passage.text);
