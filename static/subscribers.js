// Lists and forms of subscribers: what HTML and htmx do not do by themselves. Each page works without this file.
"use strict";

(() => {
  const words = document.getElementById("words").dataset;

  // --- the filters stay in the address; what says nothing is left out of it ---

  document.addEventListener("htmx:configRequest", (event) => {
    if (!event.target.matches("[data-address]")) return;
    const given = event.detail.parameters;
    for (const [name, value] of [...Object.entries(given)]) if (value === "") delete given[name];
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const { elt, xhr, pathInfo } = event.detail;
    if (!elt.matches("[data-address]") || !xhr.status) return;
    history.replaceState(null, "", pathInfo.finalRequestPath ?? pathInfo.requestPath);
  });
  // A fault is shown as well as what was found.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status === 400 && event.detail.requestConfig.elt.matches("[data-address]")) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });

  // --- those who are chosen ---

  function count(form) {
    const boxes = [...form.querySelectorAll("input[name=chosen]")];
    const chosen = boxes.filter((box) => box.checked).length;
    const all = form.querySelector("input[name=all]").checked;
    const every = form.querySelector("#check-all");
    every.checked = chosen === boxes.length;
    every.indeterminate = chosen > 0 && chosen < boxes.length;
    for (const box of [...boxes, every]) box.disabled = all;
    form.querySelector("#chosen-count").textContent = !all && chosen ? ` · ${words.chosen.replace("%s", chosen)}` : "";
    for (const button of form.querySelectorAll("button[name=do]")) button.disabled = !all && !chosen;
  }

  function dress() {
    const form = document.getElementById("many");
    if (!form) return;
    const every = form.querySelector("#check-all");
    every.hidden = false;
    every.addEventListener("change", () => {
      for (const box of form.querySelectorAll("input[name=chosen]")) box.checked = every.checked;
    });
    form.addEventListener("change", () => count(form));
    count(form);
  }
  dress();
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id === "listed") dress();
  });
  // A page that the browser kept comes back with its boxes ticked.
  addEventListener("pageshow", () => {
    const form = document.getElementById("many");
    if (form) count(form);
  });

  // --- what is told again leaves open what was open ---

  const opened = new Map();
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.id !== "now") return;
    for (const part of event.detail.target.querySelectorAll("details")) opened.set(part.firstElementChild.id, part.open);
  });
  document.addEventListener("htmx:afterSettle", () => {
    for (const [id, open] of opened) {
      const part = document.getElementById(id)?.parentElement;
      if (part) part.open = open;
    }
    opened.clear();
  });

  // --- rows of a form come and go ---

  for (const button of document.querySelectorAll("[data-add]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const row = document.getElementById(button.dataset.add).content.firstElementChild.cloneNode(true);
      show(row);
      document.getElementById(button.dataset.to).append(row);
      row.querySelector("input:not([type=hidden])").focus();
    });
  }
  function show(part) {
    for (const button of part.querySelectorAll("[data-remove-row]")) button.hidden = false;
  }
  show(document);
  document.addEventListener("click", (event) => {
    const row = event.target.closest("[data-remove-row]")?.closest("tr");
    if (!row) return;
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    (next?.querySelector("input:not([type=hidden])") ?? document.querySelector("[data-add]")).focus();
  });
})();
