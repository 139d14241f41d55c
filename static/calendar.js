// The week of a calendar as a grid: ranges are drawn, moved and stretched by mouse or keyboard. What counts is the text
// of each day's field, which this file reads and writes; what it comes to is told by the server.
"use strict";

(() => {
  const form = document.getElementById("calendar-form");
  if (!form) return;
  const words = document.getElementById("words").dataset;
  const exact = document.getElementById("exact");
  const locked = !exact;
  const DAY = 1440;
  const STEP = 15;

  // --- texts ---

  const two = (number) => String(number).padStart(2, "0");
  const clock = (minute) => `${two(Math.floor(minute / 60))}:${two(minute % 60)}`;

  function minuteOf(text) {
    const match = /^(\d{1,2})(?::(\d{2}))?$/.exec(text.trim());
    if (!match || Number(match[2] ?? 0) > 59) return null;
    const minute = Number(match[1]) * 60 + Number(match[2] ?? 0);
    return minute <= DAY ? minute : null;
  }

  /** Read the ranges of a field; nothing when it cannot be read (the server says why). */
  function read(day) {
    const ranges = [];
    for (const part of field(day).value.split(/[,;]/).map((piece) => piece.trim()).filter(Boolean)) {
      const ends = part.split(/\s*[-–—]\s*/).map(minuteOf);
      if (ends.length !== 2 || ends.includes(null) || ends[0] >= ends[1]) return [];
      ranges.push(ends);
    }
    return ranges.sort((one, other) => one[0] - other[0]);
  }

  const field = (day) => day.querySelector("input[data-day]");
  const dayOf = (weekday) => form.querySelector(`.day[data-weekday="${((Number(weekday) + 6) % 7) + 1}"]`);
  const isFree = (ranges, [start, end]) => start >= 0 && end <= DAY && start < end
    && ranges.every((range) => range[1] <= start || end <= range[0]);

  // --- drawing ---

  function draw(day) {
    const track = day.querySelector("[data-track]");
    const ranges = read(day);
    const before = read(dayOf(Number(day.dataset.weekday) - 1));
    const after = read(dayOf(Number(day.dataset.weekday) + 1));
    track.replaceChildren(...ranges.map(([start, end], place) => {
      const range = document.createElement(locked ? "span" : "button");
      if (!locked) {
        range.type = "button";
        range.setAttribute("aria-label", `${day.dataset.name} ${clock(start)}–${clock(end)}`);
        range.append(Object.assign(document.createElement("i"), { className: "edge is-start" }),
          Object.assign(document.createElement("i"), { className: "edge is-end" }));
      }
      range.className = "range";
      range.dataset.place = place;
      range.classList.toggle("from-before", start === 0 && before.at(-1)?.[1] === DAY);
      range.classList.toggle("goes-on", end === DAY && after[0]?.[0] === 0);
      range.style.left = `${(100 * start) / DAY}%`;
      range.style.width = `${(100 * (end - start)) / DAY}%`;
      const told = Object.assign(document.createElement("span"), { textContent: `${clock(start)}–${clock(end)}` });
      told.classList.toggle("visually-hidden", end - start < 150);
      range.title = `${clock(start)}–${clock(end)}`;
      range.append(told);
      return range;
    }));
  }

  const drawAll = () => form.querySelectorAll(".day").forEach(draw);

  /** Write the ranges of a day, and choose one of them. */
  function write(day, ranges, chosen = null) {
    ranges.sort((one, other) => one[0] - other[0]);
    field(day).value = ranges.map(([start, end]) => `${clock(start)}-${clock(end)}`).join(", ");
    drawAll();
    if (chosen) day.querySelector(`.range[data-place="${ranges.indexOf(chosen)}"]`)?.focus();
  }

  /** Tell the server what was drawn; it is drawn already. */
  let telling = false;
  function changed(day) {
    telling = true;
    field(day).dispatchEvent(new Event("input", { bubbles: true }));
    telling = false;
  }

  // --- by mouse, pen and finger ---

  let drag = null;

  function minuteAt(track, x, round = Math.round) {
    const box = track.getBoundingClientRect();
    const minute = round((((x - box.left) / box.width) * DAY) / STEP) * STEP;
    return Math.max(0, Math.min(DAY, minute));
  }

  document.addEventListener("pointerdown", (event) => {
    const track = event.target.closest("[data-track]");
    if (locked || !track || event.button) return;
    const day = track.closest(".day");
    const ranges = read(day);
    if (!ranges.length && field(day).value.trim()) return;
    const node = event.target.closest(".range");
    const at = minuteAt(track, event.clientX);
    if (node) {
      const range = ranges[node.dataset.place];
      const edge = event.target.closest(".edge");
      const kind = edge ? (edge.classList.contains("is-start") ? "start" : "end") : "move";
      drag = { kind, day, others: ranges.filter((other) => other !== range), range, was: [...range], at, moved: false };
      node.focus();
    } else {
      const from = minuteAt(track, event.clientX, Math.floor);
      if (!isFree(ranges, [from, Math.min(from + 1, DAY)])) return;
      drag = { kind: "new", day, others: ranges, range: null, was: [from, from], at: from, moved: false };
    }
    drag.id = event.pointerId;
    event.preventDefault();
  });

  document.addEventListener("pointermove", (event) => {
    if (!drag || event.pointerId !== drag.id) return;
    const at = minuteAt(drag.day.querySelector("[data-track]"), event.clientX);
    const low = Math.max(0, ...drag.others.filter((range) => range[1] <= drag.was[0]).map((range) => range[1]));
    const high = Math.min(DAY, ...drag.others.filter((range) => range[0] >= drag.was[1]).map((range) => range[0]));
    let wanted = drag.range;
    if (drag.kind === "new") {
      wanted = [Math.max(low, Math.min(at, drag.at)), Math.min(high, Math.max(at, drag.at))];
    } else if (drag.kind === "start") {
      wanted = [Math.max(low, Math.min(at, drag.was[1] - STEP)), drag.was[1]];
    } else if (drag.kind === "end") {
      wanted = [drag.was[0], Math.min(high, Math.max(at, drag.was[0] + STEP))];
    } else {
      const long = drag.was[1] - drag.was[0];
      const start = Math.max(0, Math.min(DAY - long, drag.was[0] + at - drag.at));
      const under = document.elementFromPoint(event.clientX, event.clientY)?.closest(".day");
      if (under && under !== drag.day && isFree(read(under), [start, start + long])) {
        write(drag.day, drag.others);
        drag.day = under;
        drag.others = read(under);
        drag.range = null;
      }
      wanted = [start, start + long];
    }
    if (wanted[0] >= wanted[1] || !isFree(drag.others, wanted)) return;
    if (drag.range && wanted[0] === drag.range[0] && wanted[1] === drag.range[1]) return;
    drag.range = wanted;
    drag.moved = true;
    write(drag.day, [...drag.others, wanted], wanted);
  });

  document.addEventListener("pointerup", (event) => {
    if (!drag || event.pointerId !== drag.id) return;
    const { day, others, kind, at, moved } = drag;
    drag = null;
    if (moved) changed(day);
    else if (kind === "new") {
      const end = Math.min(DAY, at + 60, ...others.filter((range) => range[0] > at).map((range) => range[0]));
      const wanted = [at, end];
      if (!isFree(others, wanted)) return;
      write(day, [...others, wanted], wanted);
      changed(day);
    }
  });
  document.addEventListener("pointercancel", () => { drag = null; });
  form.addEventListener("dblclick", (event) => {
    const node = event.target.closest("button.range");
    if (node) ask(node);
  });

  // --- by keyboard ---

  form.addEventListener("keydown", (event) => {
    const node = event.target.closest("button.range");
    if (!node) return;
    const day = node.closest(".day");
    const ranges = read(day);
    const range = ranges[node.dataset.place];
    const others = ranges.filter((other) => other !== range);
    const step = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
    const turn = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (step) {
      event.preventDefault();
      let wanted = [range[0] + step, range[1] + step];
      if (event.shiftKey) wanted = [range[0], Math.min(DAY, range[1] + step)];
      else if (event.ctrlKey || event.altKey || event.metaKey) wanted = [Math.max(0, range[0] + step), range[1]];
      if (!isFree(others, wanted)) return;
      write(day, [...others, wanted], wanted);
      changed(day);
    } else if (turn) {
      event.preventDefault();
      const next = dayOf(Number(day.dataset.weekday) + turn);
      const there = read(next);
      if (!isFree(there, range)) return;
      write(day, others);
      write(next, [...there, range], range);
      changed(next);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      remove(day, others);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      ask(node);
    }
  });

  function remove(day, others) {
    write(day, others);
    (day.querySelector(".range") ?? day.querySelector("[data-add]")).focus();
    changed(day);
  }

  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-add]");
    if (!button) return;
    const day = button.closest(".day");
    const ranges = read(day);
    if (!ranges.length && field(day).value.trim()) return field(day).focus();
    // Where there is room: nine to six on an empty day, else the first free hours.
    const starts = [540, ...ranges.map((range) => range[1]), 0];
    const start = starts.find((from) => isFree(ranges, [from, from + STEP]));
    if (start === undefined) return;
    const next = Math.min(DAY, ...ranges.filter((range) => range[0] >= start).map((range) => range[0]));
    const wanted = [start, Math.min(next, ranges.length ? start + 120 : 1080)];
    write(day, [...ranges, wanted], wanted);
    changed(day);
  });

  // --- exact times ---

  let asked = null;

  function ask(node) {
    const day = node.closest(".day");
    const ranges = read(day);
    const range = ranges[node.dataset.place];
    asked = { day, range, others: ranges.filter((other) => other !== range) };
    exact.querySelector("#exact_from").value = clock(range[0]);
    exact.querySelector("#exact_to").value = clock(range[1]);
    fault("");
    exact.showModal();
    exact.querySelector("#exact_from").select();
  }

  function fault(text) {
    const told = exact.querySelector("#exact_fault");
    told.textContent = text;
    told.hidden = !text;
  }

  exact?.querySelector("form").addEventListener("submit", (event) => {
    const wish = event.submitter?.value;
    if (wish === "cancel") return;
    const { day, others } = asked;
    if (wish === "delete") return void setTimeout(() => remove(day, others));
    const start = minuteOf(exact.querySelector("#exact_from").value);
    let end = minuteOf(exact.querySelector("#exact_to").value);
    if (start === null || end === null || start === DAY || start === end) {
      event.preventDefault();
      return fault(words.notATime);
    }
    const next = dayOf(Number(day.dataset.weekday) + 1);
    const rest = end < start ? end : 0;
    end = end < start ? DAY : end;
    if (!isFree(others, [start, end]) || (rest && !isFree(read(next), [0, rest]))) {
      event.preventDefault();
      return fault(words.overlap);
    }
    const wanted = [start, end];
    if (rest) write(next, [...read(next), [0, rest]]);
    setTimeout(() => {
      write(day, [...others, wanted], wanted);
      changed(day);
    });
  });

  // --- what is typed, and parts that came anew ---

  form.addEventListener("input", (event) => {
    if (event.target.matches("input[data-day]") && !telling) drawAll();
  });
  // A whole page's form must not be sent by Enter in a field whose button is beside it.
  form.addEventListener("keydown", (event) => {
    // The Enter that chooses from a list is not meant for the button.
    if (event.key !== "Enter" || event.defaultPrevented || !event.target.matches(".add-day input")) return;
    event.preventDefault();
    event.target.closest(".add-day").querySelector("button").click();
  });

  function dress() {
    drawAll();
    for (const part of form.querySelectorAll("[data-add], [data-keys]")) part.hidden = locked;
  }
  dress();
  document.addEventListener("htmx:afterSettle", (event) => {
    if (!["week", "special"].includes(event.target.id)) return;
    dress();
    form.dispatchEvent(new Event("input", { bubbles: true }));
  });

  // --- the zone of whoever adds a calendar ---

  const zone = document.getElementById("id_time_zone");
  if ("new" in form.dataset && zone && !zone.value) {
    const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
    zone.value = JSON.parse(zone.dataset.former ?? "{}")[here] ?? here;
    document.getElementById("id_time_zone-search")?.dispatchEvent(new Event("blur"));
    // Only then does htmx hear it.
    if (zone.value) addEventListener("load", () => zone.dispatchEvent(new Event("input", { bubbles: true })));
  }

  // --- what is not saved ---

  const note = form.querySelector("[data-unsaved]");
  const state = () => new URLSearchParams([...new FormData(form)]
    .filter(([name]) => !/^(told|do|take|copy_|new_|import-|csrf)/.test(name))).toString();
  const saved = "dirty" in form.dataset ? null : state();
  let sent = false;
  const isChanged = () => saved !== state();
  form.addEventListener("input", () => setTimeout(() => { if (note) note.hidden = !isChanged(); }));
  form.addEventListener("submit", () => { sent = true; });
  addEventListener("beforeunload", (event) => {
    if (!sent && !locked && isChanged()) event.preventDefault();
  });
  if (note) note.hidden = !isChanged();
})();
