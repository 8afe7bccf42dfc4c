// Actions on many jobs: each allows some states of the selected rows. The question before it is a dialog
// that the server writes, with the count.
import { selected } from "./select.js";

function allow() {
  const states = new Set(selected().map((box) => box.closest("tr").dataset.state));
  for (const button of document.querySelectorAll("[data-selection] [data-allowed]")) {
    const may = button.dataset.allowed.split(" ").some((state) => states.has(state));
    if (may) { button.removeAttribute("aria-disabled"); button.removeAttribute("title"); }
    else { button.setAttribute("aria-disabled", "true"); button.title = button.dataset.whyNot; }
  }
}

document.addEventListener("selected", allow);
document.addEventListener("htmx:afterSwap", (event) => {
  const dialog = event.detail.target.querySelector(":scope > dialog[data-opens]");
  if (!dialog) return;
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
});
allow();
