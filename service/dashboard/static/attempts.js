// "Open all": each attempt fetches what it left behind when it opens.
document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-open-all]")) return;
  for (const attempt of document.querySelectorAll("details.attempt")) attempt.open = true;
});
