// Pages of one campaign: rows of variables, columns of causes, and what was changed and not saved. All of it posts
// without this file, too.
"use strict";

(() => {
  // --- what is not saved ---

  for (const form of document.querySelectorAll("form[data-guard]")) {
    const note = form.querySelector("[data-unsaved]");
    const before = () => new URLSearchParams(new FormData(form)).toString();
    // A row that was added or moved by the server, for a browser without scripts, is not saved either.
    const saved = "changed" in form.dataset ? null : before();
    let sent = false;
    const look = () => { if (note) note.hidden = before() === saved; };
    form.addEventListener("input", look);
    form.addEventListener("change", look);
    form.addEventListener("submit", () => (sent = true));
    addEventListener("beforeunload", (event) => {
      if (!sent && before() !== saved) event.preventDefault();
    });
  }
  for (const hint of document.querySelectorAll("[data-keys]")) hint.hidden = false;

  // On a narrow window the tab of this page may be far to the right.
  const tabs = document.querySelector(".tabs");
  const tab = tabs?.querySelector("[aria-current]");
  if (tab) tabs.scrollLeft = tab.offsetLeft - (tabs.clientWidth - tab.offsetWidth) / 2;

  // --- variables ---

  const variables = document.getElementById("variables");
  const add = document.getElementById("add-variable");
  if (variables && add) {
    const blank = document.getElementById("variable").content;
    const form = variables.closest("form");
    const changed = () => form.dispatchEvent(new Event("change"));

    function append() {
      const row = blank.firstElementChild.cloneNode(true);
      row.querySelector("[data-remove]").hidden = false;
      variables.append(row);
      return row.querySelector("input");
    }

    // Empty rows are for browsers without scripts: here one is enough.
    for (const row of [...variables.rows]) {
      const fields = [row.querySelector("input"), row.querySelector("textarea")];
      if (fields.every((field) => !field.value)) row.remove();
      else row.querySelector("[data-remove]").hidden = false;
    }
    if (!variables.rows.length) append();
    add.hidden = false;
    add.addEventListener("click", () => append().focus());
    variables.addEventListener("click", (event) => {
      const button = event.target.closest("[data-remove]");
      if (!button) return;
      const row = button.closest("tr");
      const next = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
      (next?.querySelector("input") ?? append()).focus();
      changed();
    });
    variables.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      if (event.target.tagName === "INPUT") {
        event.preventDefault();
        event.target.closest("tr").querySelector("textarea").focus();
      } else if (event.target.tagName === "TEXTAREA") {
        const row = event.target.closest("tr");
        event.preventDefault();
        (row.nextElementSibling?.querySelector("input") ?? append()).focus();
      }
    });
  }

  // --- the desk: dispositions ---

  const dispositions = document.getElementById("dispositions");
  const addDisposition = document.getElementById("add-disposition");
  if (dispositions && addDisposition) {
    const blank = document.getElementById("disposition").content;
    const empty = document.getElementById("no-dispositions");
    const placed = document.getElementById("placed");
    const words = document.getElementById("words").dataset;
    const form = dispositions.closest("form");
    let dragged = null;

    const nameOf = (row) => row.querySelector(".d-name input").value || words.nameless;
    function changed() {
      empty.hidden = dispositions.children.length > 0;
      form.dispatchEvent(new Event("change"));
    }
    function tell(row) {
      const place = [...dispositions.children].indexOf(row) + 1;
      placed.textContent = words.placed.replace("%(name)s", nameOf(row)).replace("%(place)s", place);
      row.classList.add("is-moved");
      changed();
    }
    function move(row, step) {
      const near = step < 0 ? row.previousElementSibling : row.nextElementSibling;
      if (!near) return;
      const focused = document.activeElement;
      near[step < 0 ? "before" : "after"](row);
      if (row.contains(focused)) focused.focus();
      tell(row);
    }
    function show(row) { row.querySelector("[data-handle]").hidden = false; }

    for (const row of dispositions.children) show(row);
    let next = dispositions.children.length;
    addDisposition.addEventListener("click", (event) => {
      event.preventDefault();
      const row = blank.firstElementChild.cloneNode(true);
      const taken = new Set([...form.querySelectorAll("#dispositions [name=row]")].map((field) => field.value));
      while (taken.has(String(next))) next += 1;
      row.querySelector("[name=row]").value = next;
      for (const field of row.querySelectorAll("[name$=-new]")) field.name = field.name.replace(/new$/, next);
      for (const button of row.querySelectorAll("button")) button.value = next;
      dispositions.append(row);
      show(row);
      row.querySelector(".d-name input").focus();
      changed();
    });
    dispositions.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      const row = button?.closest("li");
      if (!row) return;
      event.preventDefault();
      if (button.name === "remove") {
        const other = row.nextElementSibling ?? row.previousElementSibling;
        row.remove();
        (other?.querySelector(".d-name input") ?? addDisposition).focus();
        changed();
      } else move(row, button.name === "up" ? -1 : 1);
    });
    dispositions.addEventListener("keydown", (event) => {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!step || !event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      move(event.target.closest("li"), step);
    });
    dispositions.addEventListener("change", (event) => {
      const row = event.target.closest("li");
      const colour = row.querySelector("[data-colour]").value;
      row.dataset.tone = colour || row.querySelector("[data-meaning]").selectedOptions[0].dataset.tone;
    });
    // A row is drawn by its handle alone: text in its fields can be selected as ever.
    dispositions.addEventListener("pointerdown", (event) => {
      for (const row of dispositions.children) row.draggable = false;
      if (event.target.closest("[data-handle]")) event.target.closest("li").draggable = true;
    });
    dispositions.addEventListener("dragstart", (event) => {
      dragged = event.target.closest?.("li") ?? null;
      if (!dragged) return;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", nameOf(dragged));
      dragged.classList.add("is-dragged");
    });
    dispositions.addEventListener("dragover", (event) => {
      if (!dragged) return;
      event.preventDefault();
      const over = event.target.closest("li");
      if (!over || over === dragged) return;
      const box = over.getBoundingClientRect();
      over[event.clientY < box.top + box.height / 2 ? "before" : "after"](dragged);
    });
    dispositions.addEventListener("drop", (event) => dragged && event.preventDefault());
    dispositions.addEventListener("dragend", () => {
      if (!dragged) return;
      dragged.classList.remove("is-dragged");
      dragged.draggable = false;
      tell(dragged);
      dragged = null;
    });
  }

  // --- causes: four columns ---

  const columns = document.getElementById("columns");
  if (columns && columns.querySelector("select:enabled")) {
    const sections = [...columns.children];
    const words = document.getElementById("words").dataset;
    const told = document.getElementById("moved");
    const form = columns.closest("form");
    let dragged = null;

    function place(row, section, focus) {
      const list = section.querySelector("ul");
      const after = [...list.children].find((other) => other !== row && other.dataset.cause > row.dataset.cause);
      list.insertBefore(row, after ?? null);
      row.classList.add("is-moved");
      row.classList.toggle("is-unlisted", !row.querySelector("select").value);
      row.querySelector(".cause-note")?.remove();
      for (const each of sections) each.querySelector("[data-count]").textContent = each.querySelectorAll("li").length;
      if (focus) row.querySelector("select").focus();
      told.textContent = words.moved.replace("%(cause)s", row.dataset.cause).replace("%(column)s", section.querySelector("h2").textContent);
      form.dispatchEvent(new Event("change"));
    }

    function move(row, section) {
      row.querySelector("select").value = section.dataset.treatment;
      place(row, section, true);
    }

    for (const row of columns.querySelectorAll("li")) row.draggable = true;
    columns.addEventListener("change", (event) => {
      const row = event.target.closest("li");
      const chosen = sections.find((section) => section.dataset.treatment === (event.target.value || "retry"));
      if (row && chosen) place(row, chosen, true);
    });
    columns.addEventListener("keydown", (event) => {
      const row = event.target.closest("li");
      if (!row || event.altKey || event.ctrlKey || event.metaKey) return;
      const at = sections.indexOf(row.closest("section"));
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const near = { ArrowUp: row.previousElementSibling, ArrowDown: row.nextElementSibling }[event.key];
      if (step) {
        event.preventDefault();
        if (sections[at + step]) move(row, sections[at + step]);
      } else if (near !== undefined) {
        event.preventDefault();
        near?.querySelector("select").focus();
      }
    });
    columns.addEventListener("dragstart", (event) => {
      dragged = event.target.closest?.("li") ?? null;
      if (!dragged) return;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", dragged.dataset.cause);
      dragged.classList.add("is-dragged");
    });
    columns.addEventListener("dragend", () => {
      dragged?.classList.remove("is-dragged");
      for (const section of sections) section.classList.remove("is-over-it");
      dragged = null;
    });
    for (const section of sections) {
      section.addEventListener("dragover", (event) => {
        if (!dragged) return;
        event.preventDefault();
        for (const each of sections) each.classList.toggle("is-over-it", each === section);
      });
      section.addEventListener("drop", (event) => {
        if (!dragged) return;
        event.preventDefault();
        move(dragged, section);
      });
    }
  }
})();
