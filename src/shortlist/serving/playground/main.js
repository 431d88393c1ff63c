// The page: puts the parts together.

import { Client } from "./api.js";
import { Board } from "./board.js";
import { announce, byId, el, say, still } from "./dom.js";
import { Form } from "./form.js";
import { plural, statusWord } from "./format.js";
import { Report } from "./report.js";
import { Session } from "./session.js";
import { KeyDialog, startTheme } from "./settings.js";
import { fromFragment, toFragment } from "./share.js";

const client = new Client();
const form = new Form();
const board = new Board();
const report = new Report(client);
const keys = new KeyDialog(client, () => load());
let session = null;

// ------------------------------------------------------------------------------------------------ what the server has

async function load() {
  try {
    const [models, info] = await Promise.all([client.get("v1/models"), client.get("info")]);
    form.offer({ models: models.data, corpora: info.corpora ?? [], reader: info.reader ?? null });
    notice(null);
  } catch (error) {
    say(byId("models"), "");
    byId("models").append(el("p", { class: "help" }, "Nothing to choose from yet."));
    refuse(error);
  }
}

function refuse(error) {
  if (error.status === 401) {
    notice("warning", "This server asks for an API key.", ["Enter a key", () => keys.open()]);
    return;
  }
  const later = error.retryAfter ? ` Try again in ${plural(Number(error.retryAfter) || 1, "second")}.` : "";
  notice("problem", `${error.message}${later}`, session ? null : ["Try again", load]);
}

/** One line above the results, maybe with something to do about it. */
function notice(kind, text, action = null) {
  const lines = kind ? [el("p", { class: kind, role: "alert" }, text, action ? el("button", { type: "button", class: "secondary", onclick: action[1] }, action[0]) : null)] : [];
  byId("notices").replaceChildren(...lines);
}

// ------------------------------------------------------------------------------------------------ ranking

async function rerank() {
  const asked = form.state;
  const typed = checked(asked);
  if (typed === undefined) return;
  session?.stop();
  notice(null);
  const mine = new Session(client, asked, form.rerankers, { runs: begun, update: (run) => changed(mine, run), answers: () => answered(mine) });
  session = mine;
  busy(true);
  try {
    await mine.go(typed);
    if (mine === session) ended(mine);
  } catch (error) {
    if (mine === session && error.name !== "AbortError") refuse(error);
  } finally {
    if (mine === session) busy(false);
  }
}

/** The passages typed, or null where a corpus is searched; undefined, with the reason shown, where there is nothing to do. */
function checked(asked) {
  const stop = (text, id) => {
    form.problem(text);
    byId(id)?.focus();
  };
  form.problem("");
  if (!asked.query.trim()) return stop("Write a query first.", "query");
  if (!form.models.length) return stop("The server's models are not known yet.", "key-button");
  if (!asked.models.length) return stop("Choose at least one reranker.", "go");
  if (asked.source === "corpus") return null;
  try {
    const passages = form.typed();
    return passages.length ? passages : stop("Paste some passages first.", "passages");
  } catch (error) {
    return stop(error.message, "passages");
  }
}

function busy(on) {
  byId("stop").hidden = !on;
  byId("go").textContent = on ? "Restart" : "Rerank";
  byId("export").disabled = on || !session?.first;
  byId("results").setAttribute("aria-busy", String(on));
  document.body.classList.toggle("busy", on);
}

function begun(mine) {
  if (mine !== session) return;
  byId("empty").hidden = true;
  say(byId("results-title"), mine.asked.query);
  const where = mine.asked.source === "corpus" ? ` found in ${mine.asked.corpus}` : "";
  say(byId("summary"), `${plural(mine.passages.length, "passage")}${where}, ${plural(mine.runs.length, "reranker")}`);
  if (!mine.passages.length) {
    byId("board-scroll").hidden = true;
    notice("warning", "The search found no passage for this query. Try other words.");
    return;
  }
  board.show(mine.first, mine.runs, form.withFirst);
  announce(`Ranking ${plural(mine.passages.length, "passage")}.`);
  if (matchMedia("(max-width: 900px)").matches) byId("results").scrollIntoView({ behavior: still() ? "auto" : "smooth" });
}

function changed(mine, run) {
  if (mine !== session || !mine.passages.length) return;
  board.update(run);
  if (run.problem?.status === 401) refuse(run.problem);
  if (run.ended) announce(`${run.model.id}: ${statusWord(run.status)}.`);
}

function answered(mine) {
  if (mine !== session) return;
  const go = (column, place) => board.goTo(column, place);
  board.columnOf(mine.first)?.answer([...mine.before.values()], go);
  for (const run of mine.runs) board.columnOf(run)?.answer(run.answer ? [run.answer] : [], go);
  board.follow();
}

function ended(mine) {
  const bad = mine.runs.filter((run) => run.status === "failed").map((run) => run.model.id);
  announce(bad.length ? `Done. Failed: ${bad.join(", ")}.` : "Done.");
}

// ------------------------------------------------------------------------------------------------ links and files

async function share() {
  const fragment = await toFragment(form.state);
  history.replaceState(null, "", fragment);
  const copied = await navigator.clipboard?.writeText(location.href).then(
    () => true,
    () => false,
  );
  flash(byId("share"), copied ? "Link copied" : "Link is in the address bar");
}

function flash(button, text) {
  const usual = "Share link";
  say(button, text);
  announce(text);
  setTimeout(() => say(button, usual), 2500);
}

function download() {
  const url = URL.createObjectURL(new Blob([JSON.stringify(session.exported, null, 2)], { type: "application/json" }));
  el("a", { href: url, download: "shortlist-playground.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

async function opened() {
  try {
    const state = await fromFragment(location.hash);
    if (state) form.state = state;
  } catch (error) {
    notice("problem", `This link cannot be read: ${error.message}. It may have been cut off.`);
  }
}

// ------------------------------------------------------------------------------------------------ views

function view(name) {
  for (const id of ["compare", "report"]) byId(id).hidden = id !== name;
  for (const tab of document.querySelectorAll(".tab")) tab.setAttribute("aria-pressed", String(tab.dataset.view === name));
  if (name === "report") report.show();
}

async function about() {
  const told = await client.get("playground/about.json").catch(() => ({}));
  byId("views").hidden = !told.report;
}

function listen() {
  const example = () => {
    form.example();
    byId("go").focus();
  };
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    rerank();
  });
  byId("composer").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) rerank();
  });
  byId("stop").addEventListener("click", () => session?.stop());
  byId("example").addEventListener("click", example);
  byId("example-2").addEventListener("click", () => {
    example();
    rerank();
  });
  byId("share").addEventListener("click", share);
  byId("export").addEventListener("click", download);
  for (const tab of document.querySelectorAll(".tab")) tab.addEventListener("click", () => view(tab.dataset.view));
  window.addEventListener("hashchange", opened);
}

startTheme();
listen();
about();
await load();
await opened();
document.documentElement.dataset.ready = "yes";
