// Copy buttons: they copy their own text, or else the code beside them.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = button.dataset.copy || button.parentElement.querySelector("pre")?.textContent || "";
  try {
    await navigator.clipboard.writeText(text);
    said(button, "Copied");
  } catch {
    select(button.parentElement.querySelector("pre") ?? button);
    said(button, "Press Ctrl+C");
  }
});

function said(button, words) {
  const label = [...button.childNodes].find((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
  if (!label) { button.title = words; return; }
  const before = label.textContent;
  if (before === words) return;
  label.textContent = words;
  setTimeout(() => { label.textContent = before; }, 1500);
}

function select(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
}
