// What the form holds, in the address's fragment: it goes to no server. A link from a stranger is read with care.

const MOST = 2_000_000; // characters of a state that are read

/** The fragment of a state: its JSON, deflated, in base64 for addresses. */
export async function toFragment(state) {
  const stream = new Blob([JSON.stringify(state)]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return `#s=${btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`;
}

/** The state of a fragment; null if it has none. Throws what is wrong with it. */
export async function fromFragment(fragment) {
  if (!fragment.startsWith("#s=")) return null;
  const binary = atob(fragment.slice(3).replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
  const state = JSON.parse(await inflated(bytes));
  if (state === null || typeof state !== "object" || Array.isArray(state)) throw new Error("it holds no state");
  return state;
}

async function inflated(bytes) {
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) return text;
    text += value;
    if (text.length > MOST) {
      reader.cancel().catch(() => {});
      throw new Error("it is too large");
    }
  }
}
