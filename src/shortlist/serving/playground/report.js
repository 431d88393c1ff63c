// A training run's report, shown in a frame that can run nothing and reach nothing.

import { byId, say } from "./dom.js";

export class Report {
  constructor(client) {
    this.client = client;
    this.loaded = false;
  }

  async show() {
    if (this.loaded) return;
    const problem = byId("report-problem");
    problem.hidden = true;
    try {
      const html = await this.client.text("report");
      const frame = byId("report-frame");
      frame.src = URL.createObjectURL(new Blob([html], { type: "text/html" }));
      frame.hidden = false;
      this.loaded = true;
    } catch (error) {
      say(problem, `The report cannot be shown: ${error.message}`);
      problem.hidden = false;
    }
  }
}
