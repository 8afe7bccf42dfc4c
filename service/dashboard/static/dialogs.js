// Dialogs: opened and closed by buttons, armed by a typed count, and gone when their request is answered.
export function open(id) {
  const dialog = document.getElementById(id);
  if (dialog && !dialog.open) dialog.showModal();
}

const digits = (text) => text.replace(/\D/g, "");

function arm(field) {
  const button = document.getElementById(field.dataset.arms);
  if (button) button.disabled = digits(field.value) !== field.dataset.confirm;
}

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-open]");
  if (opener) open(opener.dataset.open);
  if (event.target.closest("[data-close]")) event.target.closest("dialog")?.close();
});

document.addEventListener("input", (event) => {
  if (event.target.matches("[data-confirm]")) arm(event.target);
});

// `toggle` does not bubble, but can be caught on its way down.
document.addEventListener("toggle", (event) => {
  if (event.target.localName !== "dialog" || !event.target.open) return;
  for (const field of event.target.querySelectorAll("[data-confirm]")) { field.value = ""; arm(field); }
}, true);

// If nothing had the focus before, it would stay in the closed dialog, and keys would go to a field nobody sees.
document.addEventListener("close", (event) => {
  if (event.target.contains(document.activeElement)) document.activeElement.blur();
}, true);

// Whatever the answer, its toast would be behind the dialog. What was typed is still there when it opens again.
document.addEventListener("htmx:afterRequest", (event) => event.target.closest("dialog")?.close());

// A button that cannot be used now stays in its place, and does nothing.
document.addEventListener("click", (event) => {
  if (event.target.closest("[aria-disabled='true']")) { event.preventDefault(); event.stopImmediatePropagation(); }
}, true);
