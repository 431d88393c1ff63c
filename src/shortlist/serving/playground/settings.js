// The theme, which the browser remembers, and the API key, which nobody does.

import { byId, say } from "./dom.js";

const THEME = "shortlist-theme";

export function startTheme() {
  const select = byId("theme");
  const show = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  };
  select.value = remembered() ?? "auto";
  show(select.value);
  select.addEventListener("change", () => {
    show(select.value);
    try {
      localStorage.setItem(THEME, select.value);
    } catch {
      // a browser that keeps nothing: the theme holds until the page is closed
    }
  });
}

function remembered() {
  try {
    const theme = localStorage.getItem(THEME);
    return ["light", "dark", "auto"].includes(theme) ? theme : null;
  } catch {
    return null;
  }
}

export class KeyDialog {
  constructor(client, onChange) {
    this.client = client;
    this.dialog = byId("key-dialog");
    this.why = byId("key-why").textContent;
    byId("key-button").addEventListener("click", () => this.open());
    byId("key-cancel").addEventListener("click", () => this.dialog.close());
    byId("key-forget").addEventListener("click", () => this.#use("", onChange));
    byId("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#use(byId("key").value, onChange);
    });
  }

  open(why = this.why) {
    say(byId("key-why"), why);
    if (!this.dialog.open) this.dialog.showModal();
    byId("key").focus();
  }

  #use(key, onChange) {
    this.client.key = key;
    byId("key").value = "";
    say(byId("key-state"), this.client.hasKey ? " · set" : "");
    this.dialog.close();
    onChange();
  }
}
