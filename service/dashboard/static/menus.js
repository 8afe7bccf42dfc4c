// Menus close when the pointer or focus goes elsewhere; one of them chooses the theme.
import { store } from "./stored.js";

const root = document.documentElement;

document.addEventListener("click", (event) => {
  const setter = event.target.closest("[data-theme-set]");
  if (setter) {
    const theme = setter.dataset.themeSet;
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
    store("theme", theme || null);
    document.dispatchEvent(new Event("themed"));
  }
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target) || event.target.closest(".menu-list a, .menu-list button")) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

document.addEventListener("focusin", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
