// Selected rows, in a form marked `data-select`: their number, the bar under them, and "all on this page".
let last = null;

const form = () => document.querySelector("[data-select]");
const boxes = (of) => [...of.querySelectorAll("tbody input[type=checkbox][name=id]")];

export function selected() {
  const of = form();
  return of ? boxes(of).filter((box) => box.checked) : [];
}

/** Show the selection: rows, their number, the bar. */
export function show() {
  const of = form();
  if (!of) return;
  const all = boxes(of), count = all.filter((box) => box.checked).length;
  for (const box of all) box.closest("tr").classList.toggle("selected", box.checked);
  const every = of.querySelector("thead input[type=checkbox]");
  if (every) { every.checked = count > 0 && count === all.length; every.indeterminate = count > 0 && count < all.length; }
  for (const bar of document.querySelectorAll("[data-selection]")) bar.hidden = count === 0;
  for (const number of document.querySelectorAll("[data-selected]")) number.textContent = count.toLocaleString("en-GB");
  document.dispatchEvent(new Event("selected"));
}

export function toggle(box, through = false) {
  const all = boxes(form());
  const from = through && last && last.isConnected ? all.indexOf(last) : -1, to = all.indexOf(box);
  if (from >= 0) for (let at = Math.min(from, to); at <= Math.max(from, to); at += 1) all[at].checked = true;
  else box.checked = !box.checked;
  last = box;
  show();
}

export function clear() {
  for (const box of selected()) box.checked = false;
  last = null;
  show();
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-select-none]")) clear();
  if (!event.target.matches("[data-select] tbody input[type=checkbox][name=id]")) return;
  const box = event.target;
  if (event.shiftKey && last && last !== box && last.isConnected) { box.checked = false; toggle(box, true); }
  last = box;
  show();
});
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-select] thead input[type=checkbox]")) {
    for (const box of boxes(form())) box.checked = event.target.checked;
    show();
  }
});
document.addEventListener("changed", clear);
show();
