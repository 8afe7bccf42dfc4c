// Shortcuts: single keys, off in fields and when the viewer has switched them off. The sheet is in keys.html.
import { open } from "./dialogs.js";
import { letIn, toggleLive } from "./live.js";
import { clear, selected, toggle } from "./select.js";
import { store, stored } from "./stored.js";
import { toggleExact } from "./time.js";

const WAITS_FOR_SECOND_MS = 1500;
const box = document.getElementById("keys-on");
let isOn = stored("keys") !== "off";
let going = 0;

const rows = () => [...document.querySelectorAll("main table tbody tr")].filter((row) => linkOf(row) && row.offsetParent !== null);
const linkOf = (row) => row.querySelector("a.cell-main, th a, td a");
const current = () => document.activeElement?.closest("main table tbody tr");

function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(current());
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + step, 0), all.length - 1)];
  linkOf(next).focus();
  next.scrollIntoView({ block: "nearest" });
}

function select(through) {
  const check = current()?.querySelector("input[type=checkbox][name=id]");
  if (check) toggle(check, through);
}

function press(key) {
  const button = [...document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)].find((one) => one.offsetParent !== null);
  if (button) button.click();
  return Boolean(button);
}

const single = {
  "?": () => open("keys"),
  "/": () => document.getElementById("find")?.focus(),
  t: toggleExact,
  l: toggleLive,
  j: () => move(1),
  k: () => move(-1),
  x: () => select(false),
  X: () => select(true),
  n: () => { if (!letIn()) document.querySelector("a[data-next]")?.click(); },
  g: () => { going = performance.now(); },
};

function go(letter) {
  const link = document.querySelector(`#sections a[data-letter="${CSS.escape(letter)}"]`);
  if (link) location.assign(link.href);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !isOn) return;
  if (event.target.closest("input, textarea, select, [contenteditable], dialog[open]")) return;
  if (event.key === "Escape" && selected().length) { clear(); return; }
  if (going && performance.now() - going < WAITS_FOR_SECOND_MS) {
    going = 0;
    event.preventDefault();
    go(event.key);
    return;
  }
  going = 0;
  const does = Object.hasOwn(single, event.key) ? single[event.key] : null;
  if (does) { event.preventDefault(); does(); } else if (event.key.length === 1 && press(event.key)) event.preventDefault();
});

if (box) {
  box.checked = isOn;
  box.addEventListener("change", () => { isOn = box.checked; store("keys", isOn ? null : "off"); });
}
