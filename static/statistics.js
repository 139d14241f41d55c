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

  const veil = (found, share) => found.replace(/^rgb\(([^)]+)\)$/, (_, parts) => `rgb(${parts.replaceAll(",", "")} / ${share}%)`);

  /** Return where a row stands: an instant in seconds, or an hour of the day. */
  const first = (row) => Number.parseInt(row.cells[0].dataset.value, 10);

  /** Read a table, the earliest row first: the first column, then those that are named; what has no value is a gap. */
  function read(table, names, kind) {
    const heads = [...table.tHead.rows[0].cells];
    const places = names.map((name) => heads.findIndex((head) => head.dataset.name === name));
    const rows = new Map([...table.tBodies[0].rows].map((row) => [first(row), row]));
    const value = (cell) => (cell?.dataset.value === undefined ? null : Number(cell.dataset.value));
    // A day is drawn whole, though the table leaves out the hours at its ends without attempts.
    const at = kind === "hour" ? Array.from({ length: 24 }, (_, hour) => hour) : [...rows.keys()].sort((one, other) => one - other);
    return {
      titles: places.map((place) => heads[place].textContent.trim()),
      first: at,
      data: places.map((place) => at.map((key) => value(rows.get(key)?.cells[place]))),
    };
  }

  function options(node, { titles, first, data }, names) {
    const { zone } = node.dataset;
    const isTime = node.dataset.chart === "time";
    const step = stepOf(node, first);
    const middle = middles(node, first);
    const grid = { stroke: colour("--tblr-border-color"), width: 1 };
    const axis = { stroke: colour("--quiet"), font: `12px ${getComputedStyle(document.body).fontFamily}`, grid, ticks: { ...grid, size: 4 } };
    const day = { month: "short", day: "numeric", timeZone: zone };
    const hour = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone };
    const dayOf = new Intl.DateTimeFormat(locale, day);
    const hourOf = new Intl.DateTimeFormat(locale, hour);
    const whole = new Intl.DateTimeFormat(locale, step < 80000 ? { weekday: "short", ...day, ...hour } : { weekday: "short", ...day });
    const instant = (seconds) => new Date(seconds * 1000);
    const ofDay = (found) => (Number.isInteger(found) ? `${String(found).padStart(2, "0")}:00` : "");
    const label = (found) => {
      if (!isTime) return ofDay(found);
      const told = hourOf.format(instant(found));
      return told === "00:00" || step > 80000 ? dayOf.format(instant(found)) : told;
    };
    const counts = new Intl.NumberFormat(locale);
    const legend = told(node, titles, names);
    return {
      ...size(node),
      tzDate: (seconds) => uPlot.tzDate(instant(seconds), zone),
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      legend: { show: false },
      scales: {
        // From the rows themselves: around a single one uPlot would show years.
        x: { time: isTime, range: () => [middle[0] - step / 2, middle.at(-1) + step / 2] },
        y: { range: (_, __, high) => [0, Math.max(4, high * 1.08)] },
        "%": { range: [0, 100] },
      },
      axes: [
        { ...axis, values: (_, splits) => splits.map(label), ...(isTime ? {} : { incrs: [1, 2, 3, 4, 6], space: 44 }) },
        { ...axis, size: 46, values: (_, splits) => splits.map((split) => (Number.isInteger(split) ? counts.format(split) : "")) },
        { ...axis, scale: "%", side: 1, size: 50, grid: { show: false }, values: (_, splits) => splits.map((split) => `${split}%`) },
      ],
      series: [{}, ...names.map((name) => {
        const tone = colour("--mark", TONES[name] ?? RATE);
        if (!(name in TONES)) return { scale: "%", stroke: tone, width: 2, points: { size: 5 }, spanGaps: false };
        return {
          stroke: tone, fill: TONES[name] === "off" ? veil(tone, 32) : tone, width: 0, points: { show: false },
          paths: uPlot.paths.bars({ size: [0.8, 60] }),
        };
      })],
      hooks: {
        setCursor: [({ cursor: { idx } }) => {
          const at = idx ?? -1;
          legend.when.textContent = at < 0 ? "" : isTime ? whole.format(instant(first[at])) : ofDay(first[at]);
          legend.values.forEach((value, place) => {
            const found = at < 0 ? null : data[place][at];
            value.textContent = at < 0 ? "" : found === null ? "–" : names[place] in TONES ? counts.format(found) : `${counts.format(found)}%`;
          });
        }],
      },
    };
  }

  const size = (node) => ({ width: node.clientWidth - 16, height: node.clientHeight - 32 });

  /** Write what each colour stands for above a chart; return where its values go while one points at them. */
  function told(node, titles, names) {
    const line = document.createElement("p");
    line.className = "chart-told";
    const values = titles.map((title, place) => {
      const item = document.createElement("span");
      const dot = document.createElement("i");
      const value = document.createElement("b");
      dot.className = names[place] in TONES ? "dot" : "dot dash";
      dot.dataset.tone = TONES[names[place]] ?? RATE;
      item.append(dot, ` ${title} `, value);
      line.append(item);
      return value;
    });
    const when = document.createElement("time");
    line.append(when);
    node.replaceChildren(line);
    return { when, values };
  }

  const stepOf = (node, first) => (first.length > 1 ? first.at(-1) - first.at(-2) : node.dataset.chart === "time" ? 3600 : 1);

  /** An hour is drawn at its middle, an hour of the day above its name. */
  const middles = (node, first) => (node.dataset.chart === "time" ? first.map((begin) => begin + stepOf(node, first) / 2) : first);

  function draw(node) {
    drawn.get(node)?.destroy();
    const names = [...node.dataset.series.split(" "), node.dataset.rate];
    const found = read(document.getElementById(node.dataset.table), names, node.dataset.chart);
    node.hidden = false;
    drawn.set(node, new uPlot(options(node, found, names), [middles(node, found.first), ...found.data], node));
  }

  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) drawn.get(target)?.setSize(size(target));
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
  document.addEventListener("htmx:afterSettle", (event) => {
    drawAll();
    // What is shown is what its address shows again.
    const asked = event.detail.pathInfo?.finalRequestPath;
    if (asked) history.replaceState(null, "", asked);
  });
  // Another look is another canvas.
  new MutationObserver(drawAll).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  document.fonts.ready.then(drawAll);
})();
