// The theme is set before anything is drawn, so that no page flashes in the other one.
try {
  const theme = localStorage.getItem("postlude-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* no storage: the system's theme */ }
