// Charts of statistics: each is drawn from the table below it, which says the same without it. Stands on uPlot.
"use strict";

(() => {
  const TONES = { attempts: "off", dialled: "off", connected: "talk", success: "good", abandoned: "bad" };
  const RATE = "warn";
  const drawn = new Map();

  /** Return the colour that a custom property comes to here and now; a canvas knows neither properties nor light-dark(). */
  function colour(property, tone = "") {
    const probe = document.createElement("i");
    if (tone) probe.dataset.tone = tone;
    probe.style.color = `var(${property})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  const faint = (found) => found.replace(/^rgb\(([^)]+)\)$/, (_, parts) => `rgb(${parts.replaceAll(",", "")} / 30%)`);

  /** Read a table: the first column, then those that are named; what has no value is a gap. */
  function read(table, names) {
    const heads = [...table.tHead.rows[0].cells];
    const places = names.map((name) => heads.findIndex((head) => head.dataset.name === name));
    const rows = [...table.tBodies[0].rows];
    const value = (cell) => (cell.dataset.value === undefined ? null : Number(cell.dataset.value));
    return {
      titles: places.map((place) => heads[place].textContent.trim()),
      first: rows.map((row) => row.cells[0].dataset.value),
      data: places.map((place) => rows.map((row) => value(row.cells[place]))),
    };
  }

  function options(node, titles, names, ticks) {
    const { zone, chart } = node.dataset;
    const ink = colour("--quiet");
    const grid = { stroke: colour("--tblr-border-color"), width: 1 };
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const axis = { stroke: ink, font, grid, ticks: { ...grid, size: 4 } };
    const day = { month: "short", day: "numeric", timeZone: zone };
    const hour = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone };
    const dayOf = new Intl.DateTimeFormat(undefined, day);
    const hourOf = new Intl.DateTimeFormat(undefined, hour);
    const whole = new Intl.DateTimeFormat(undefined, { ...day, ...hour });
    const instant = (seconds) => new Date(seconds * 1000);
    const isTime = chart === "time";
    const labels = (_, splits, __, ___, step) =>
      splits.map((split) => {
        if (!isTime) return ticks[split]?.slice(0, 5) ?? "";
        const told = hourOf.format(instant(split));
        return step >= 86400 || told === "00:00" ? dayOf.format(instant(split)) : told;
      });
    const counts = new Intl.NumberFormat();
    const series = names.map((name, place) => {
      const tone = colour("--mark", TONES[name] ?? RATE);
      if (!(name in TONES)) {
        return {
          label: titles[place], scale: "%", stroke: tone, width: 2, points: { size: 5 }, spanGaps: true,
          value: (_, found) => (found === null ? "–" : `${found.toFixed(1)} %`),
        };
      }
      return {
        label: titles[place], stroke: tone, fill: faint(tone), width: 1, points: { show: false },
        paths: uPlot.paths.bars({ size: [0.8, 60], align: isTime ? 1 : 0 }),
        value: (_, found) => (found === null ? "–" : counts.format(found)),
      };
    });
    return {
      width: node.clientWidth - 16,
      height: node.clientHeight - 34,
      tzDate: (seconds) => uPlot.tzDate(instant(seconds), zone),
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      legend: { live: true },
      scales: {
        x: { time: isTime, range: (_, low, high) => (isTime ? [low, high + step(node)] : [low - 0.6, high + 0.6]) },
        y: { range: (_, __, high) => [0, Math.max(4, high * 1.08)] },
        "%": { range: [0, 100] },
      },
      axes: [
        { ...axis, values: labels, ...(isTime ? {} : { incrs: [1, 2, 3, 4, 6], space: 40 }) },
        { ...axis, size: 46, values: (_, splits) => splits.map((split) => (Number.isInteger(split) ? counts.format(split) : "")) },
        { ...axis, scale: "%", side: 1, size: 46, grid: { show: false }, values: (_, splits) => splits.map((split) => `${split} %`) },
      ],
      series: [{ label: "", value: (_, found) => (found === null ? "" : isTime ? whole.format(instant(found)) : ticks[found] ?? "") }, ...series],
    };
  }

  /** Return how many seconds a row of a chart of instants stands for. */
  function step(node) {
    const { first } = read(document.getElementById(node.dataset.table), []);
    return first.length > 1 ? Number(first.at(-1)) - Number(first.at(-2)) : 3600;
  }

  function draw(node) {
    drawn.get(node)?.destroy();
    const names = [...node.dataset.series.split(" "), node.dataset.rate];
    const { titles, first, data } = read(document.getElementById(node.dataset.table), names);
    const isTime = node.dataset.chart === "time";
    node.hidden = false;
    const x = first.map((value, place) => (isTime ? Number(value) : place));
    drawn.set(node, new uPlot(options(node, titles, names, first), [x, ...data], node));
  }

  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      drawn.get(target)?.setSize({ width: target.clientWidth - 16, height: target.clientHeight - 34 });
    }
  });

  function drawAll() {
    for (const [node, chart] of drawn) {
      if (node.isConnected) continue;
      chart.destroy();
      resized.unobserve(node);
      drawn.delete(node);
    }
    for (const node of document.querySelectorAll("[data-chart]")) {
      draw(node);
      resized.observe(node);
    }
  }

  drawAll();
  document.addEventListener("htmx:afterSettle", drawAll);
  // Another look is another canvas.
  new MutationObserver(drawAll).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  document.fonts.ready.then(drawAll);
})();
