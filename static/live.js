// The live page: `show` draws a snapshot and knows nothing of how it came. Stands on page.js.
"use strict";

// --- a snapshot ---

let last = null;

function show(snapshot) {
  clock.set(snapshot.now, snapshot.factor);
  tell(last, snapshot);
  last = snapshot;
  const curves = new Map(snapshot.curves.map((curve) => [curve.id, curve]));
  const campaigns = snapshot.campaigns.map((campaign) => ({ ...campaign, curve: curves.get(campaign.id) }));
  showFigures(snapshot);
  list($("alerts"), "t-alert", snapshot.alerts, (alert) => alert.code, showAlert);
  many($("campaigns"), snapshot.campaigns.length > 8);
  list($("campaigns"), "t-campaign", campaigns, (campaign) => campaign.id, showCampaign);
  $("more-campaigns").hidden = !snapshot.more_campaigns;
  text($("more-campaigns").firstElementChild, number.format(snapshot.more_campaigns));
  list($("gateways"), "t-gateway", snapshot.gateways, (gateway) => gateway.id, showGateway);
  list($("switches"), "t-switch", snapshot.switches, (item) => item.id, showSwitch);
  showOperators(snapshot.operators);
  list($("causes"), "t-cause", shortened(snapshot.causes, 9), (cause) => cause.cause, showCause);
  list($("attempts"), "t-attempt", snapshot.attempts, (attempt) => attempt.id, showAttempt);
  $("attempts").parentElement.hidden = !snapshot.attempts.length;
  tick();
}

/** Say aloud what a supervisor should hear of, and nothing that changes each second. */
function tell(before, after) {
  if (!before) return;
  const heard = [];
  const byId = (items) => new Map(items.map((item) => [item.id ?? item.code, item]));
  const campaigns = byId(before.campaigns);
  for (const campaign of after.campaigns) {
    if (campaigns.has(campaign.id) && campaigns.get(campaign.id).state !== campaign.state) {
      heard.push(`${campaign.name}: ${campaign.label}, ${campaign.why}.`);
    }
  }
  const alerts = byId(before.alerts);
  for (const alert of after.alerts) {
    if (!alerts.delete(alert.code)) heard.push(`${alert.title} ${alert.text}`);
  }
  for (const alert of alerts.values()) heard.push(`${words.fixed} ${alert.title}`);
  const operators = byId(before.operators);
  for (const operator of after.operators) {
    if (operator.forced && !operators.get(operator.id)?.forced) heard.push(`${operator.name}: ${words.forced}.`);
  }
  if (heard.length) announce(heard.join(" "));
}

function showFigures(snapshot) {
  const sum = (items, name) => items.reduce((total, item) => total + item[name], 0);
  const talking = snapshot.operators.filter((operator) => operator.talks).length;
  const calls = sum(snapshot.campaigns, "lines");
  const onDuty = snapshot.operators.filter((operator) => operator.on_duty).length;
  const figures = {
    calls,
    talking: Math.min(talking, calls),
    ringing: Math.max(0, calls - talking),
    duty: onDuty,
    operators: snapshot.operators.length,
    free: snapshot.operators.filter((operator) => operator.tone === "free").length,
    pace: snapshot.per_minute,
    attempts: sum(snapshot.campaigns, "attempts"),
    done: sum(snapshot.campaigns, "done"),
    total: sum(snapshot.campaigns, "total"),
    success: sum(snapshot.campaigns, "success"),
    dialled: snapshot.recent.dialled,
  };
  for (const [name, value] of Object.entries(figures)) text($(`kpi-${name}`), number.format(value));
  text($("kpi-rate"), share(snapshot.recent.connected, snapshot.recent.dialled));
  if ($("n-campaigns")) text($("n-campaigns"), number.format(snapshot.campaigns.length + snapshot.more_campaigns));
  text($("n-lines"), `${number.format(sum(snapshot.gateways, "used"))} ${words.of} ${number.format(sum(snapshot.gateways, "capacity"))} ${words.inUse}`);
  const ended = sum(snapshot.causes, "count");
  text($("n-causes"), ended ? `${words.last} ${number.format(ended)}` : "");
}

function showAlert(node, alert) {
  attribute(node, "class", `notice notice-${alert.tone}`);
  fill(node, { title: alert.title, text: alert.text });
}

function showCampaign(node, campaign) {
  attribute(node, "data-tone", campaign.tone);
  attribute(part(node, "name"), "href", root.dataset.campaign.replace("/0/", `/${campaign.id}/`));
  fill(node, {
    name: campaign.name,
    priority: campaign.priority,
    label: campaign.label,
    why: campaign.why,
    would: root.dataset.mayRun === "yes" ? campaign.would : "",
    done: number.format(campaign.done),
    total: number.format(campaign.total),
    success: number.format(campaign.success),
    ended: number.format(campaign.ended),
    live: number.format(campaign.live),
    held: number.format(campaign.held),
    waiting: number.format(campaign.waiting),
    lines: campaign.lines,
    limit: campaign.limit,
    duty: campaign.on_duty,
    assigned: campaign.assigned,
    attempts: number.format(campaign.attempts),
    rate: share(campaign.connected, campaign.dialled),
    talk: span(1000 * campaign.talk),
    average: campaign.talks ? `${words.average} ${span((1000 * campaign.talk) / campaign.talks)}` : "",
    "ends-at": campaign.ends_at ? moment(campaign.ends_at, campaign.zone) : "",
    "ends-note": campaign.ends_note,
  });
  part(node, "if-forecast").hidden = !campaign.ends_at && !campaign.ends_note;
  showStaff(part(node, "staff"), campaign.staff);
  showCurve(part(node, "curve"), campaign.curve);
  part(node, "if-held").hidden = !campaign.held;
  node.classList.toggle("is-quiet", !campaign.at_work);
  const bar = node.querySelector(".bar");
  node.classList.toggle("is-empty", !campaign.total);
  bar.hidden = !campaign.total;
  node.querySelector(".figures").hidden = !campaign.at_work;
  const parts = [campaign.success, campaign.ended, campaign.live, campaign.held];
  parts.forEach((part, place) => width(bar.children[place], campaign.total ? part / campaign.total : 0));
  attribute(bar, "aria-label", `${number.format(campaign.done)} ${words.of} ${number.format(campaign.total)}`);
  const ends = part(node, "ends");
  const told = campaign.ends.slice(0, 5).map(([cause, count]) => `${cause} ${number.format(count)}`);
  if (campaign.ends.length > 5) told.push("…");
  text(ends, told.join("  ·  "));
  part(node, "ends-line").hidden = !told.length;
  title(ends, campaign.ends.map(([cause, count]) => `${cause} ${count}`).join("\n"));
  const button = part(node, "button");
  button.hidden = root.dataset.mayRun !== "yes";
  const action = campaign.active ? "stop" : "run";
  if (button.dataset.action !== action) {
    button.dataset.action = action;
    button.dataset.on = campaign.id;
    fill(button, { verb: words[action] });
    use(button, `player-${campaign.active ? "stop" : "play"}`);
  }
  fill(button, { of: ` ${campaign.name}` });
  const uploads = part(node, "list");
  uploads.hidden = !root.dataset.uploads;
  if (root.dataset.uploads) attribute(uploads, "href", root.dataset.uploads.replace("/0/", `/${campaign.id}/`));
  fill(node, { "list-of": campaign.name });
}

/** An instant in the time of who reads; when the clocks of the campaign say something else, with theirs beside it. */
function moment(instant, zone) {
  const day = { weekday: "short", day: "numeric", month: "short" };
  const hour = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const told = (style, timeZone) => new Intl.DateTimeFormat(locale, { ...style, timeZone }).format(instant);
  const [here, there] = [undefined, zone].map((timeZone) => told({ ...day, ...hour }, timeZone));
  if (here === there) return here;
  return `${here} (${told(day) === told(day, zone) ? told(hour, zone) : there} ${zone})`;
}

function showStaff(node, staff) {
  node.hidden = !staff.length;
  const told = staff.map(([tone, count]) => `${words[tone]} ${number.format(count)}`).join(", ");
  attribute(node, "aria-label", told);
  title(node, told);
  while (node.childElementCount > staff.length) node.lastChild.remove();
  while (node.childElementCount < staff.length) node.append(document.createElement("i"));
  staff.forEach(([tone, count], place) => {
    attribute(node.children[place], "data-tone", tone);
    node.children[place].style.flexGrow = count;
  });
}

/** The last hour as bars: those dialled, and in front of them those connected. */
function showCurve(node, curve) {
  node.hidden = !curve;
  if (!curve) return;
  const highest = Math.max(...curve.dialled, 1);
  const step = 180 / curve.dialled.length;
  const path = (counts) => counts.map((count, place) => (count ? `M${place * step} 44v${(-44 * count) / highest}h${step - 1}V44z` : "")).join("");
  attribute(node.querySelector(".curve-dialled"), "d", path(curve.dialled));
  attribute(node.querySelector(".curve-connected"), "d", path(curve.connected));
  const sum = (counts) => number.format(counts.reduce((total, count) => total + count, 0));
  text(node.lastElementChild, words.curve.replace("%(dialled)s", sum(curve.dialled)).replace("%(connected)s", sum(curve.connected)));
}

function showGateway(node, gateway) {
  fill(node, { name: gateway.name, used: number.format(gateway.used), capacity: number.format(gateway.capacity) });
  const note = part(node, "note");
  text(note, gateway.note);
  note.hidden = !gateway.note;
  node.classList.toggle("is-full", gateway.capacity > 0 && gateway.used >= gateway.capacity);
  const pips = node.querySelector(".pips");
  const parts = Math.min(gateway.capacity, 30);
  while (pips.childElementCount > parts) pips.lastChild.remove();
  while (pips.childElementCount < parts) pips.append(document.createElement("i"));
  const lit = gateway.capacity ? Math.ceil((gateway.used / gateway.capacity) * parts) : 0;
  Array.from(pips.children, (pip, place) => pip.classList.toggle("on", place < lit));
}

function showSwitch(node, item) {
  attribute(node, "data-tone", item.tone);
  fill(node, { name: item.name, label: item.label });
}

const OPERATOR_ICONS = {
  free: "headset",
  held: "bookmark",
  ring: "phone-ringing",
  talk: "phone-call",
  wrap: "pencil",
  break: "coffee",
  off: "door-exit",
};
const only = new Set();

function showFilters(operators) {
  const groups = new Map();
  for (const operator of operators) {
    const group = groups.get(operator.shown) ?? { name: operator.shown, tone: operator.tone, count: 0 };
    group.count += 1;
    groups.set(operator.shown, group);
  }
  for (const name of only) if (!groups.has(name)) groups.set(name, { name, tone: "off", count: 0 });
  const order = Object.keys(OPERATOR_ICONS);
  const sorted = [...groups.values()].sort((a, b) => order.indexOf(a.tone) - order.indexOf(b.tone) || a.name.localeCompare(b.name));
  const parent = $("filters");
  const known = new Map(Array.from(parent.children, (button) => [button.dataset.group, button]));
  const buttons = sorted.map((group) => {
    let button = known.get(group.name);
    known.delete(group.name);
    if (!button) {
      button = document.createElement("button");
      button.type = "button";
      button.className = "filter";
      button.dataset.group = group.name;
      button.innerHTML = '<span class="dot" aria-hidden="true"></span><span></span> <b></b>';
      text(button.children[1], group.name);
    }
    attribute(button, "data-tone", group.tone);
    attribute(button, "aria-pressed", String(only.has(group.name)));
    text(button.lastChild, number.format(group.count));
    return button;
  });
  // Moved only when out of place: a button that is moved loses the focus.
  buttons.forEach((button, place) => {
    if (parent.children[place] !== button) parent.insertBefore(button, parent.children[place] ?? null);
  });
  for (const button of known.values()) button.remove();
}

function showOperators(operators) {
  showFilters(operators);
  many($("operators"), operators.length > 24);
  const items = operators.map((operator) => ({ ...operator, hidden: only.size > 0 && !only.has(operator.shown) }));
  list($("operators"), "t-operator", items, (operator) => operator.id, showOperator);
}

function showOperator(node, operator) {
  attribute(node, "data-tone", operator.tone);
  node.hidden = operator.hidden;
  attribute(part(node, "name"), "href", root.dataset.operator.replace("/0/", `/${operator.id}/`));
  fill(node, { name: operator.name, extension: operator.extension, status: operator.status, shown: operator.shown });
  use(node.querySelector(".tile-state"), operator.forced ? "alert-triangle" : OPERATOR_ICONS[operator.tone]);
  const phone = part(node, "phone");
  const registered = operator.phone ?? true;
  const word = operator.phone === null ? words.phoneOutside : registered ? words.phoneOn : words.phoneOff;
  phone.classList.toggle("is-off", !registered);
  use(phone, registered ? "phone" : "phone-off");
  text(part(node, "phone-word"), word);
  title(phone, word);
  text(part(node, "number"), operator.number ?? "");
  node.classList.toggle("is-noted", !operator.with);
  node.classList.toggle("is-forced", operator.forced);
  if (operator.with) fill(node, { with: operator.with });
}

/** The most frequent causes; those beyond `length` as one. */
function shortened(causes, length) {
  const rest = causes.slice(length - 1);
  const others = { cause: words.others, tone: "off", count: rest.reduce((total, cause) => total + cause.count, 0) };
  const shown = rest.length > 1 ? [...causes.slice(0, length - 1), others] : causes;
  const most = Math.max(...shown.map((cause) => cause.count));
  return shown.map((cause) => ({ ...cause, of: most }));
}

function showCause(node, cause) {
  attribute(node, "data-tone", cause.tone);
  fill(node, { name: cause.cause, count: number.format(cause.count) });
  width(node.querySelector(".meter i"), cause.count / cause.of);
}

function showAttempt(node, attempt, isNew) {
  attribute(node, "data-tone", attempt.tone);
  node.classList.toggle("is-live", attempt.live);
  if (isNew) node.classList.add("is-new");
  fill(node, {
    at: timeOfDay.format(attempt.at),
    subscriber: attempt.subscriber,
    number: attempt.number,
    operator: attempt.operator,
    campaign: attempt.campaign,
    label: attempt.label,
    cause: attempt.cause,
  });
  if (root.dataset.subscriber) attribute(part(node, "subscriber"), "href", root.dataset.subscriber.replace("/0/", `/${attempt.member}/`));
  if (!attempt.talks_since) fill(node, { talk: attempt.talk === null ? "" : span(attempt.talk * 1000) });
}

/** Move everything that runs with the clock. */
function tick() {
  if (!last || clock.stopped) return;
  const now = clock.read();
  text($("clock"), timeOfDay.format(now) + (last.factor === 1 ? "" : ` ×${last.factor}`));
  for (const operator of last.operators) {
    const node = $("operators").nodesByKey.get(operator.id);
    if (node.hidden) continue;
    text(part(node, "time"), operator.since ? span(now - operator.since) : "");
    if (operator.with) continue;
    const rest = operator.rests_until - now;
    text(part(node, "with"), rest > 0 ? `${words.rests} ${span(rest + 999)}` : operator.note);
  }
  for (const attempt of last.attempts) {
    if (attempt.talks_since) text(part($("attempts").nodesByKey.get(attempt.id), "talk"), span(now - attempt.talks_since));
  }
  for (const item of last.switches) {
    const label = part($("switches").nodesByKey.get(item.id), "label");
    if (item.tone !== "good" && item.heard_at) text(label, `${item.label}, ${words.heard} ${span(now - item.heard_at)} ${words.ago}`);
  }
  const late = last.alerts.some((alert) => alert.code === "loop");
  attribute($("loop"), "data-tone", late ? "bad" : "good");
  $("loop-ok").hidden = late;
  $("loop-late").hidden = !late || last.pass_at === null;
  text($("loop-age"), last.pass_at === null ? "" : span((now - last.pass_at) / last.factor));
}
setInterval(tick, 1000);

$("filters").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const name = button.dataset.group;
  if (!only.delete(name)) only.add(name);
  showOperators(last.operators);
  tick();
});

press($("campaigns"));
begin(show);
