// Light or dark: what was chosen here (or in the set-up pages, which keep it under the same name), else the system's.
// Loaded before the first paint, so that no page flashes.
(() => {
  "use strict";
  const system = matchMedia("(prefers-color-scheme: dark)");
  const kept = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null;
    }
  };
  const shown = () => (["light", "dark"].includes(kept()) ? kept() : system.matches ? "dark" : "light");
  const apply = () => document.documentElement.setAttribute("data-bs-theme", shown());
  apply();
  system.addEventListener("change", apply);
  addEventListener("storage", apply);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    button.hidden = false;
    button.addEventListener("click", () => {
      const other = shown() === "dark" ? "light" : "dark";
      try {
        localStorage.setItem("theme", other);
      } catch {
        // A browser that keeps nothing still changes this page.
      }
      document.documentElement.setAttribute("data-bs-theme", other);
    });
  });
})();
