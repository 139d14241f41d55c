// Pages of lists and forms: what HTML and htmx do not do by themselves. Every page works without this file, if less nicely.
"use strict";

(() => {
  const words = document.getElementById("words").dataset;

  // --- instants: told by the server in UTC, shown in the time of who reads, with the wall clock of `data-zone` beside it ---

  const moment = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

  function told(time) {
    const instant = new Date(time.dateTime);
    const here = moment.format(instant);
    if (!time.dataset.zone) return here;
    const there = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23", timeZone: time.dataset.zone });
    if (there.format(instant) === here) return here;
    const [day, hour] = [{ dateStyle: "short" }, { timeStyle: "short", hourCycle: "h23" }].map((style) => ({ ...style, timeZone: time.dataset.zone }));
    const sameDay = instant.toLocaleDateString(locale, { dateStyle: "short" }) === instant.toLocaleDateString(locale, day);
    const shown = sameDay ? instant.toLocaleTimeString(locale, hour) : there.format(instant);
    return `${here} (${shown} ${time.dataset.zone})`;
  }

  function dress(part) {
    for (const time of part.querySelectorAll("time[data-local]")) {
      time.textContent = told(time);
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

  // --- what cannot be taken back is asked once more ---

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-confirm]");
    if (button && !confirm(button.dataset.confirm)) event.preventDefault();
  });

  // --- a long list to choose from is searched as one types (the pattern “combobox” of ARIA) ---

  function searchable(select) {
    const box = document.createElement("div");
    box.className = "combo";
    const input = document.createElement("input");
    const list = document.createElement("ul");
    Object.assign(input, { type: "text", className: "form-control form-select", autocomplete: "off", spellcheck: false });
    Object.assign(list, { id: `${select.id}-list`, className: "combo-list plain", hidden: true });
    input.id = `${select.id}-search`;
    const label = document.querySelector(`label[for="${select.id}"]`);
    label.htmlFor = input.id;
    label.id ||= `${select.id}-label`;
    for (const [name, value] of Object.entries({
      role: "combobox", "aria-expanded": "false", "aria-controls": list.id, "aria-autocomplete": "list",
      "aria-describedby": select.getAttribute("aria-describedby") ?? "",
    })) if (value) input.setAttribute(name, value);
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-labelledby", label.id);
    // A change of what is searched is no change of the form.
    input.addEventListener("input", (event) => event.stopPropagation());
    input.addEventListener("change", (event) => event.stopPropagation());

    const options = Array.from(select.options, (option, place) => {
      const item = document.createElement("li");
      item.id = `${list.id}-${place}`;
      item.setAttribute("role", "option");
      item.textContent = option.textContent;
      item.dataset.search = `${option.textContent} ${option.value} ${option.value.replace(/[-_]/g, "")}`.toLowerCase();
      item.addEventListener("pointerdown", (event) => event.preventDefault());
      item.addEventListener("click", () => choose(item));
      return { item, option };
    });
    list.append(...options.map(({ item }) => item));
    let active = null;

    const chosen = () => options.find(({ option }) => option.selected);
    const visible = () => options.filter(({ item }) => !item.hidden);

    function mark(entry) {
      active?.item.classList.remove("is-active");
      active = entry ?? null;
      active?.item.classList.add("is-active");
      if (active) input.setAttribute("aria-activedescendant", active.item.id);
      else input.removeAttribute("aria-activedescendant");
      active?.item.scrollIntoView({ block: "nearest" });
    }

    function open(filter) {
      const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
      for (const { item, option } of options) {
        item.hidden = !words.every((word) => item.dataset.search.includes(word));
        item.setAttribute("aria-selected", String(option.selected));
      }
      list.hidden = false;
      input.setAttribute("aria-expanded", "true");
      mark(filter ? visible()[0] : chosen());
    }

    function close() {
      list.hidden = true;
      input.setAttribute("aria-expanded", "false");
      mark(null);
      input.value = chosen()?.option.textContent.trim() ?? "";
    }

    function choose(item) {
      select.value = options.find((entry) => entry.item === item).option.value;
      close();
      select.dispatchEvent(new Event("input", { bubbles: true }));
    }

    input.addEventListener("focus", () => input.select());
    input.addEventListener("click", () => {
      if (!list.hidden) return;
      open("");
      input.select();
    });
    input.addEventListener("input", () => open(input.value));
    input.addEventListener("blur", close);
    input.addEventListener("keydown", (event) => {
      const shown = visible();
      const place = shown.indexOf(active);
      const moves = { ArrowDown: place + 1, ArrowUp: place - 1, PageDown: place + 8, PageUp: place - 8 };
      if (event.key in moves) {
        event.preventDefault();
        if (list.hidden) open("");
        else mark(shown[Math.max(0, Math.min(shown.length - 1, moves[event.key]))]);
      } else if (event.key === "Enter" && !list.hidden) {
        event.preventDefault();
        if (active) choose(active.item);
      } else if (event.key === "Escape" && !list.hidden) {
        event.preventDefault();
        close();
        input.select();
      }
    });

    select.hidden = true;
    select.before(box);
    box.append(input, list, select);
    close();
  }
  function searchAll(part) {
    for (const select of part.querySelectorAll("select[data-search]")) if (!select.closest(".combo")) searchable(select);
  }
  searchAll(document);
  document.addEventListener("htmx:load", (event) => searchAll(event.detail.elt));

  // --- a server that does not answer for a while ---

  const offline = document.getElementById("offline");
  function onLink(alive) {
    document.body.classList.toggle("is-offline", !alive);
    offline.textContent = alive ? "" : words.offline;
  }
  for (const lost of ["htmx:sendError", "htmx:timeout"]) document.addEventListener(lost, () => onLink(false));
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.xhr.status) onLink(true);
  });
})();
