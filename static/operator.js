// The page of one operator: what runs with the clock of the rules, and what is typed while parts of the page are asked anew.
"use strict";

(() => {
  const told = document.getElementById("clock-of").dataset;
  const [start, at, factor] = [Number(told.now), performance.now(), Number(told.factor)];
  const two = (value) => String(value).padStart(2, "0");

  function span(milliseconds) {
    const seconds = Math.max(0, Math.floor(milliseconds / 1000));
    const hours = Math.floor(seconds / 3600);
    if (hours >= 24) return `${Math.floor(hours / 24)} d ${two(hours % 24)} h`;
    const minutes = Math.floor(seconds / 60) % 60;
    return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
  }

  function tick() {
    const now = start + (performance.now() - at) * factor;
    for (const time of document.querySelectorAll("time[data-since], time[data-until]")) {
      const { since, until } = time.dataset;
      const shown = until ? span(Number(until) - now + 999) : since ? span(now - Number(since)) : "";
      if (time.textContent !== shown) time.textContent = shown;
    }
  }

  tick();
  setInterval(tick, 1000);
  document.addEventListener("htmx:afterSwap", tick);
})();
