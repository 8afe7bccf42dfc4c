// Live pages. A tick of the stream fetches this page anew, and what differs is put in place: cells change, open details
// stay open, fields keep what was typed, and new rows of a `data-rows` table wait behind "12 newer jobs".
import { agree, clockText, refresh } from "./time.js";
import { selected, show as showSelection } from "./select.js";
import { store, stored } from "./stored.js";

const LEAST_PAUSE_MS = 1000;
// A page that takes long is fetched less often: fetching takes at most a tenth of the time.
const PAUSE_PER_LOOK = 10;
// The stream sends something every few seconds.
const SILENT_MS = 20000;
const KEPT = "input:not([type=hidden]), select, textarea, dialog[open], [data-still]";

const dot = document.getElementById("live");
const updated = document.getElementById("updated");
let stopped = stored("live") === "off";
let source = null, fetching = null, wanted = false, releasing = false, notBefore = 0, heardAt = 0, shownAt = Date.parse(document.documentElement.dataset.now);

function showDot(live, why) {
  dot.classList.toggle("is-fine", live);
  dot.classList.toggle("is-off", !live);
  dot.title = live ? `Updated ${clockText(shownAt)}. Press l to stop` : why;
  dot.setAttribute("aria-label", live ? "Live updates: on" : "Live updates: off");
  dot.setAttribute("aria-pressed", String(live));
  const note = document.getElementById("stale") ?? makeNote();
  note.hidden = live || !why;
  note.querySelector("b").textContent = why;
  note.querySelector("span").textContent = ` The page shows ${clockText(shownAt)}. `;
}

function makeNote() {
  const note = document.createElement("section");
  note.id = "stale";
  note.className = "banner is-note slim stale";
  note.hidden = true;
  note.innerHTML = '<svg class="icon" aria-hidden="true"><use href="#i-info"/></svg><p role="status"><b></b><span></span><a href="">Reload</a></p>';
  note.querySelector("a").href = location.href;
  document.getElementById("main").before(note);
  return note;
}

// What a row is about, whatever its cells say.
const nameOf = (row) => row.id || row.querySelector("a")?.getAttribute("href");

/** Whether rows would move under the pointer or the focus. */
function wouldMove(old, fresh) {
  if (old.localName !== "tbody" || old.matches("[data-rows]") || !old.matches(":hover, :focus-within")) return false;
  const before = [...old.rows].map(nameOf), after = [...fresh.rows].map(nameOf);
  return before.some((name, at) => name !== after[at]);
}

const callbacks = {
  beforeNodeMorphed: (old, fresh) => !(old.nodeType === Node.ELEMENT_NODE && (old.matches(KEPT) || wouldMove(old, fresh))),
  beforeAttributeUpdated: (name, element) => !(name === "open" && element.localName === "details"),
  beforeNodeAdded: (node) => !waits(node),
  beforeNodeRemoved: (node) => !(node.nodeType === Node.ELEMENT_NODE && stays(node)),
};
let newer = 0;

/** Whether to keep something that the page no longer has: somebody may be typing in it, or pointing at it. */
const stays = (node) => node.id === "stale" || node.matches("dialog[open]") || (!releasing && node.matches("[data-rows] > *"));

function waits(node) {
  if (releasing || node.nodeType !== Node.ELEMENT_NODE || !node.matches("[data-rows] > *")) return false;
  newer += 1;
  return true;
}

function put(page) {
  newer = 0;
  for (const id of ["sections", "sections-small", "main"]) {
    const old = document.getElementById(id), fresh = page.getElementById(id);
    if (old && fresh) Idiomorph.morph(old, [...fresh.childNodes], { morphStyle: "innerHTML", callbacks });
  }
  document.title = page.title;
  document.body.setAttribute("hx-headers", page.body.getAttribute("hx-headers")); // the token for forms
  agree(page.documentElement.dataset.now);
  shownAt = Date.parse(page.documentElement.dataset.now);
  htmx.process(document.getElementById("main"));
  for (const gate of document.querySelectorAll("[data-newer]")) {
    gate.hidden = newer === 0;
    const noun = gate.dataset.newer;
    gate.querySelector("button").textContent = `${newer} newer ${newer === 1 ? noun.replace(/s$/, "") : noun}`;
  }
  updated.textContent = `Updated ${clockText(shownAt)}`;
  if (dot.classList.contains("is-fine")) showDot(true);
  refresh();
  showSelection();
  document.dispatchEvent(new Event("refreshed"));
}

/** Fetch this page again; null if it does not come. */
async function fetched() {
  fetching = new AbortController();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error", signal: fetching.signal });
    if (answer.status === 429) return null; // the page stays as it is, until the next tick
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch (error) {
    if (error.name !== "AbortError") showDot(false, "Live updates have stopped.");
    return null;
  } finally {
    fetching = null;
  }
}

/** Show what changed; one fetch at a time. */
async function look() {
  wanted = false;
  const began = performance.now();
  const page = await fetched();
  if (page) put(page);
  releasing = false;
  notBefore = performance.now() + Math.max(LEAST_PAUSE_MS, (performance.now() - began) * PAUSE_PER_LOOK);
  if (wanted) soon();
}

let timer = null;
// What is shown once (`data-once`), such as a new key, would be gone if its page were fetched again.
function soon() {
  wanted = true;
  if (fetching || timer || document.hidden || document.querySelector("[data-once]")) return;
  timer = setTimeout(() => { timer = null; if (!fetching) look(); }, Math.max(0, notBefore - performance.now()));
}

/** Fetch now, even if a fetch just ended. */
export function atOnce() { notBefore = 0; clearTimeout(timer); timer = null; soon(); }

/** Show the rows that wait; false if there are none. */
export function letIn() {
  const gate = document.querySelector("[data-newer]:not([hidden])");
  if (!gate || selected().length) return false;
  releasing = true;
  atOnce();
  return true;
}

function connect() {
  heardAt = performance.now();
  source = new EventSource(dot.dataset.stream);
  const heard = (event, does) => source.addEventListener(event, () => { heardAt = performance.now(); does(); });
  heard("open", () => showDot(true));
  heard("tick", () => { showDot(true); soon(); });
  heard("away", () => showDot(false, "The ledger does not answer."));
  source.addEventListener("error", () => {
    showDot(false, "Live updates have stopped.");
    if (source?.readyState === EventSource.CLOSED) { disconnect(); setTimeout(() => { if (!source && !stopped) connect(); }, 5000); }
  });
}

function disconnect() { source?.close(); source = null; }

// A connection may die without a word: a laptop that slept, a proxy that forgot.
setInterval(() => {
  if (!source || performance.now() - heardAt < SILENT_MS) return;
  showDot(false, "Live updates have stopped.");
  disconnect();
  connect();
}, 5000);

export function toggleLive() {
  stopped = !stopped;
  store("live", stopped ? "off" : null);
  if (stopped) { disconnect(); fetching?.abort(); showDot(false, "You have stopped live updates."); }
  else { connect(); atOnce(); }
}

if (dot) {
  dot.addEventListener("click", toggleLive);
  document.addEventListener("click", (event) => { if (event.target.closest("[data-newer] button")) letIn(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && wanted) soon(); });
  document.addEventListener("changed", () => { releasing = true; atOnce(); });
  if (stopped) showDot(false, "You have stopped live updates.");
  else connect();
}
