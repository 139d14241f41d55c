// Pages of lists: what HTML and htmx do not do by themselves. Every page works without this file, if less nicely.
"use strict";

(() => {
  const words = document.getElementById("words").dataset;

  // --- instants: told by the server in UTC, shown in the time of who reads ---

  const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

  function dress(part) {
    for (const time of part.querySelectorAll("time[data-local]")) {
      time.textContent = moment.format(new Date(time.dateTime));
      time.title = zone;
      delete time.dataset.local;
    }
    for (const input of part.querySelectorAll("input[name=zone][type=hidden]")) input.value = zone;
    for (const name of part.querySelectorAll("[data-zone-name]")) name.textContent = zone;
  }
  dress(document);
  document.addEventListener("htmx:load", (event) => dress(event.detail.elt));

  // --- a log-in that ended, and a server that does not answer ---

  document.addEventListener("htmx:beforeSwap", (event) => {
    const sent = new URL(event.detail.xhr.responseURL || location.href);
    if (sent.pathname.startsWith("/login")) {
      event.detail.shouldSwap = false;
      location.reload();
    }
  });

  // --- all columns, or none ---

  for (const button of document.querySelectorAll("[data-check]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      for (const box of button.closest("section").querySelectorAll("input[type=checkbox]")) {
        box.checked = button.dataset.check === "all";
      }
      button.dispatchEvent(new Event("change", { bubbles: true }));
    });
  }
})();
