// The server's API. The key lives in this object alone: never stored, never in an address.

export class Problem extends Error {
  constructor(message, status = 0, retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export class Client {
  #key = "";

  set key(value) {
    this.#key = value.trim();
  }

  get hasKey() {
    return this.#key !== "";
  }

  async get(path) {
    return (await this.#ask(path, { method: "GET" })).json();
  }

  async text(path) {
    return (await this.#ask(path, { method: "GET" })).text();
  }

  async post(path, body, signal) {
    return (await this.#ask(path, this.#posting(body, signal))).json();
  }

  /** The events of a stream, as [name, data]. */
  async *stream(path, body, signal) {
    const response = await this.#ask(path, this.#posting(body, signal));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    try {
      for (let rest = ""; ; ) {
        const { done, value } = await reader.read();
        if (done) return;
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        for (const part of parts) {
          const event = read(part);
          if (event) yield event;
        }
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  #posting(body, signal) {
    return { method: "POST", body: JSON.stringify(body), signal, headers: { "content-type": "application/json" } };
  }

  async #ask(path, options) {
    const headers = { ...options.headers, ...(this.#key ? { authorization: `Bearer ${this.#key}` } : {}) };
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem("The server cannot be reached. Is it still running?");
    }
    if (!response.ok) throw await refused(response);
    return response;
  }
}

function read(part) {
  let name = "message";
  const data = [];
  for (const line of part.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  return data.length ? [name, JSON.parse(data.join("\n"))] : null;
}

async function refused(response) {
  const body = await response.json().catch(() => ({}));
  const retryAfter = response.headers.get("retry-after");
  return new Problem(messageOf(body) || `the server answered ${response.status}`, response.status, retryAfter);
}

/** The words of an error, in whichever of the dialects' shapes. */
export function messageOf(body) {
  const told = body?.message ?? body?.error?.message ?? body?.detail;
  return typeof told === "string" ? told : "";
}
