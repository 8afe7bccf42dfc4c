// Toasts go after 6 s, unless pointer or focus is on them; errors stay until they are closed.
const STAYS_MS = 6000;
const toasts = document.getElementById("toasts");

function settle(toast) {
  if (toast.classList.contains("is-wrong")) return;
  let left = STAYS_MS, since, timer;
  const go = () => { since = performance.now(); timer = setTimeout(() => toast.remove(), left); };
  const hold = () => { clearTimeout(timer); left -= performance.now() - since; };
  for (const name of ["pointerenter", "focusin"]) toast.addEventListener(name, hold);
  for (const name of ["pointerleave", "focusout"]) toast.addEventListener(name, go);
  go();
}

/** Show something that this page found out by itself. */
export function tell(words, tone = "wrong") {
  const toast = document.createElement("div");
  toast.className = `toast is-${tone}`;
  toast.role = tone === "wrong" ? "alert" : "status";
  const icon = document.querySelector(`#i-${tone === "wrong" ? "failed" : "succeeded"}`).id;
  toast.innerHTML = `<svg class="icon" aria-hidden="true"><use href="#${icon}"/></svg><div><b></b></div>
    <button class="button ghost slim only-icon" type="button" data-dismiss aria-label="Close"><svg class="icon" aria-hidden="true"><use href="#i-x"/></svg></button>`;
  toast.querySelector("b").textContent = words;
  toasts.append(toast);
}

if (toasts) {
  new MutationObserver((changes) => {
    for (const change of changes) for (const node of change.addedNodes) if (node.classList?.contains("toast")) settle(node);
  }).observe(toasts, { childList: true });
  for (const toast of toasts.children) settle(toast);
}

document.addEventListener("click", (event) => event.target.closest("[data-dismiss]")?.closest(".toast")?.remove());

for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, () => tell("Postlude did not answer. Whether it was done is not known: look before you do it again."));
}
