// The page of the switches: `show` draws a snapshot and knows nothing of how it came. Stands on page.js.
"use strict";

const decimal = new Intl.NumberFormat(locale, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const day = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });

let last = null;

function show(snapshot) {
  clock.set(snapshot.now, snapshot.factor);
  tell(last, snapshot);
  last = snapshot;
  const calls = snapshot.switches.reduce((total, item) => total + item.calls, 0);
  text($("n-switches"), snapshot.switches.length ? `${number.format(calls)} ${words.used}` : "");
  list($("switches"), "t-switch", snapshot.switches, (item) => item.name, showSwitch);
  list($("kinds"), "t-kind", snapshot.repairs.kinds, (kind) => kind.kind, showKind);
  $("kinds-card").hidden = !snapshot.repairs.total;
  list($("repairs"), "t-repair", snapshot.repairs.newest, (repair) => repair.id, showRepair);
  $("repairs").parentElement.hidden = !snapshot.repairs.newest.length;
  tick();
}

/** Say aloud when the state of a switch changes, and nothing that changes each second. */
function tell(before, after) {
  if (!before) return;
  const states = new Map(before.switches.map((item) => [item.name, item.label]));
  const changed = after.switches.filter((item) => states.has(item.name) && states.get(item.name) !== item.label);
  if (changed.length) announce(changed.map((item) => `${item.name}: ${item.label}. ${item.why}`).join(" "));
}

/** Write what there is of what there may be, with a bar; `null`: it is not known, or there is no limit. */
function measure(node, name, value, limit, format) {
  text(part(node, name), value === null ? "–" : format.format(value));
  const bound = limit === null ? (value === null ? words.unknown : words.unlimited) : `${words.of} ${format.format(limit)}`;
  text(part(node, `${name}-limit`), bound);
  const meter = part(node, `${name}-meter`);
  meter.hidden = limit === null || value === null;
  const filled = limit ? Math.min(1, value / limit) : value ? 1 : 0;
  width(meter.firstElementChild, filled);
  attribute(meter, "data-tone", filled >= 1 ? "warn" : "talk");
}

function showSwitch(node, item) {
  attribute(node, "data-tone", item.tone);
  fill(node, {
    name: item.name,
    weight: item.weight,
    label: item.label,
    hears: item.hears || words.nobody,
    next: item.stand_by.join(", "),
    phones: number.format(item.phones),
    pace: item.pace === null ? "" : `${decimal.format(item.pace)} ${words.perSecond}`,
    repairs: number.format(item.repairs),
    version: item.version,
    again: item.restarted_at ? when(item.restarted_at) : "",
  });
  if (item.setup) attribute(part(node, "name"), "href", item.setup);
  measure(node, "calls", item.calls, item.calls_limit, number);
  measure(node, "rate", item.per_second, item.rate_limit, decimal);
  measure(node, "sessions", item.sessions, item.sessions_allowed, number);
  measure(node, "sps", item.sessions_per_second, item.rate_allowed, number);
  part(node, "if-next").hidden = !item.stand_by.length;
  part(node, "if-pace").hidden = item.pace === null;
  part(node, "if-up").hidden = !item.started_at || !item.connected;
  part(node, "if-again").hidden = !item.restarted_at;
  part(node, "if-repairs").hidden = !item.repairs;
  part(node, "if-version").hidden = !item.version;
  const button = part(node, "button");
  button.hidden = root.dataset.mayDrain !== "yes" || !item.id;
  const action = item.enabled ? "drain" : "resume";
  if (button.dataset.action !== action) {
    button.dataset.action = action;
    button.dataset.on = item.id;
    fill(button, { verb: words[action] });
    use(button, `player-${item.enabled ? "stop" : "play"}`);
    title(button, words[`${action}Hint`]);
  }
  fill(button, { of: ` ${item.name}` });
}

function showKind(node, kind) {
  fill(node, { name: kind.label, count: number.format(kind.count) });
}

function showRepair(node, repair, isNew) {
  if (isNew) node.classList.add("is-new");
  fill(node, { at: when(repair.at), what: repair.label, attempt: repair.attempt, switch: repair.switch, detail: repair.detail });
  if (repair.url) attribute(part(node, "attempt"), "href", repair.url);
  title(part(node, "detail"), repair.detail);
}

/** The time of day, with the date when it was not within the last day. */
function when(instant) {
  const time = timeOfDay.format(instant);
  return clock.read() - instant < 20 * 3600 * 1000 ? time : `${day.format(instant)} ${time}`;
}

/** Move everything that runs with the clock. */
function tick() {
  if (!last || clock.stopped) return;
  const now = clock.read();
  text($("clock"), timeOfDay.format(now) + (last.factor === 1 ? "" : ` ×${last.factor}`));
  for (const item of last.switches) {
    const node = $("switches").nodesByKey.get(item.name);
    const heard = item.heard_at ? (now - item.heard_at) / last.factor : null;
    text(part(node, "heard"), heard === null ? words.never : `${span(heard)} ${words.ago}`);
    text(part(node, "up"), item.started_at ? span((now - item.started_at) / last.factor) : "");
    const rest = item.blocked_until ? item.blocked_until - now : 0;
    text(part(node, "why"), rest > 0 ? `${words.rests} ${span(rest + 999)}. ${item.why}` : item.why);
  }
}
setInterval(tick, 1000);

press($("switches"));
begin(show);
