// "Open all": each attempt that opens fetches what it left behind.
document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-open-all]")) return;
  for (const attempt of document.querySelectorAll("details.attempt")) attempt.open = true;
});
