// The board of operators: `show` draws a snapshot and knows nothing of how it came. Stands on page.js.
"use strict";

const clockTime = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayAndTime = new Intl.DateTimeFormat(locale, { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

let last = null;

// --- what is shown of all, and in which order ---

const GROUPS = ["in_call", "receiving", "reserved", "wrap_up", "waiting", "idle", "on_break", "logged_out"];
const asked = { groups: new Set(), campaign: "", words: [], sort: "name", down: false };

const values = {
  name: (item) => item.name,
  state: (item) => GROUPS.indexOf(item.group),
  since: (item) => item.since ?? Infinity,
  calls: (item) => item.calls,
  success: (item) => item.success,
  talk: (item) => item.talk,
  breaks: (item) => item.breaks,
  occupancy: (item) => item.occupancy ?? -1,
  last: (item) => item.last?.at ?? 0,
};
/** Which way a column is sorted first: the longest, the most and the latest are what one looks for. */
const firstDown = { calls: true, success: true, talk: true, breaks: true, occupancy: true, last: true };
const names = new Intl.Collator(locale, { numeric: true });

function isAsked(item) {
  if (asked.groups.size && !asked.groups.has(item.group)) return false;
  if (asked.campaign === "none" && item.campaigns.length) return false;
  if (asked.campaign && asked.campaign !== "none" && !item.campaigns.includes(Number(asked.campaign))) return false;
  if (!asked.words.length) return true;
  const told = `${item.name} ${item.extension} ${item.call?.with ?? ""} ${item.call?.number ?? ""}`.toLowerCase();
  return asked.words.every((word) => told.includes(word));
}

function sorted(items) {
  const value = values[asked.sort];
  const sign = asked.down ? -1 : 1;
  return items.toSorted((a, b) => {
    const [left, right] = [value(a), value(b)];
    const differs = typeof left === "string" ? names.compare(left, right) : left - right || 0;
    return sign * differs || names.compare(a.name, b.name) || a.id - b.id;
  });
}

// --- a snapshot ---

function show(snapshot) {
  clock.set(snapshot.now, snapshot.factor);
  tell(last, snapshot);
  last = snapshot;
  const day = $("day");
  text(day, dayAndTime.format(snapshot.since));
  title(day, snapshot.zone);
  showCampaigns(snapshot.campaigns);
  showFilters(snapshot.operators);
  draw();
}

function draw() {
  const shown = sorted(last.operators.filter(isAsked));
  list($("operators"), "t-operator", shown, (item) => item.id, showOperator);
  for (const item of shown) $("operators").nodesByKey.get(item.id).item = item;
  $("table").hidden = !shown.length;
  $("nobody").hidden = last.operators.length > 0;
  $("nothing").hidden = shown.length > 0 || !last.operators.length;
  tick();
}

/** Say aloud who is sent on a break, and nothing that changes each second. */
function tell(before, after) {
  if (!before) return;
  tellCoaching(before, after);
  const was = new Set(before.operators.filter((item) => item.forced).map((item) => item.id));
  const forced = after.operators.filter((item) => item.forced && !was.has(item.id));
  if (forced.length) announce(forced.map((item) => `${item.name}: ${words.forced}.`).join(" "));
}

function showCampaigns(campaigns) {
  const select = $("campaign");
  const shows = JSON.stringify(campaigns);
  if (select.shows === shows) return;
  select.shows = shows;
  while (select.options.length > 2) select.options[2].remove();
  for (const campaign of campaigns) select.add(new Option(campaign.name, campaign.id));
  select.value = asked.campaign;
  if (select.selectedIndex < 0) select.value = asked.campaign = "";
}

function showFilters(operators) {
  const groups = new Map();
  for (const item of operators) {
    const group = groups.get(item.group) ?? { key: item.group, name: item.shown, tone: item.tone, count: 0 };
    group.count += 1;
    groups.set(item.group, group);
  }
  const parent = $("filters");
  const known = new Map(Array.from(parent.children, (button) => [button.dataset.group, button]));
  for (const [key, button] of known) {
    if (!groups.has(key) && asked.groups.has(key)) groups.set(key, { key, name: button.dataset.name, tone: button.dataset.tone, count: 0 });
  }
  const ordered = [...groups.values()].sort((a, b) => GROUPS.indexOf(a.key) - GROUPS.indexOf(b.key));
  let before = null;
  for (const group of ordered) {
    let button = known.get(group.key);
    known.delete(group.key);
    if (!button) {
      button = document.createElement("button");
      Object.assign(button, { type: "button", className: "filter" });
      Object.assign(button.dataset, { group: group.key, name: group.name });
      const dot = document.createElement("span");
      dot.className = "dot";
      dot.ariaHidden = "true";
      button.append(dot, document.createElement("span"), document.createElement("b"));
    }
    attribute(button, "data-tone", group.tone);
    text(button.children[1], group.name);
    text(button.children[2], number.format(group.count));
    attribute(button, "aria-pressed", String(asked.groups.has(group.key)));
    const place = before ? before.nextElementSibling : parent.firstElementChild;
    if (place !== button) parent.insertBefore(button, place);
    before = button;
  }
  for (const button of known.values()) button.remove();
}

function showOperator(node, item) {
  node.item = item;
  seen.observe(node);
  attribute(node, "data-tone", item.tone);
  fill(node, {
    name: item.name,
    extension: item.extension,
    shown: item.shown,
    calls: number.format(item.calls),
    success: number.format(item.success),
    talk: item.talk_told,
    breaks: item.breaks ? item.breaks_told : "–",
    occupancy: item.occupancy == null ? "–" : percent.format(item.occupancy / 100),
    outcome: item.last ? item.last.label : "",
  });
  attribute(part(node, "name"), "href", root.dataset.operator.replace("/0/", `/${item.id}/`));
  node.classList.toggle("is-forced", item.forced);
  showCall(node, item.call);
  showCoaching(node, item);
  const meter = node.querySelector(".meter");
  meter.hidden = item.occupancy == null;
  width(meter.firstElementChild, (item.occupancy ?? 0) / 100);
  attribute(part(node, "outcome"), "data-tone", item.last?.tone ?? "off");
  title(part(node, "outcome"), item.last?.cause ?? "");
  showSigns(node, item);
  const button = part(node, "button");
  button.hidden = !item.may || root.dataset.mayChange !== "yes";
  if (item.may) {
    Object.assign(button.dataset, { action: item.may, on: item.id });
    fill(node, { verb: item.may === "ready" ? words.ready : words.endBreak, of: ` ${item.name}` });
  }
}

function showCall(node, call) {
  part(node, "call").hidden = !call;
  if (!call) return;
  const hidden = !call.attempt;
  fill(node, { with: hidden ? words.hidden : call.with, number: hidden ? "" : call.number });
  title(part(node, "call"), hidden ? "" : `${call.with} · ${call.number} · ${call.campaign}`);
  attribute(part(node, "call"), "data-tone", call.talks ? "talk" : "ring");
}

// --- coaching: who is on a call besides the two, and the viewer's own part in it ---

const me = Number(root.dataset.user);
const mayCoach = root.dataset.mayCoach === "yes";
const MODES = ["listen", "whisper", "barge"];
const said = (who, mode) => words[who + mode[0].toUpperCase() + mode.slice(1)];
let leaves = null;

function coachingOf(coached) {
  const own = coached.user === me;
  if (!coached.on) return own ? words.youRing : "";
  return own ? said("you", coached.mode) : `${coached.by}: ${said("he", coached.mode)}`;
}

function showCoaching(node, item) {
  const coached = item.call?.coached ?? [];
  text(part(node, "coached"), coached.map(coachingOf).filter(Boolean).join(" · "));
  if (!mayCoach) return;
  const group = part(node, "coach");
  const own = coached.find((one) => one.user === me);
  group.hidden = !(item.call?.attempt && item.call.talks) && !own;
  attribute(group, "aria-label", `${words.coaching}: ${item.name}`);
  const leave = part(node, "leave");
  if (!own && document.activeElement === leave) part(node, "listen").focus();
  leave.hidden = !own;
  for (const mode of MODES) attribute(part(node, mode), "aria-pressed", String(own?.mode === mode));
  for (const button of group.children) button.dataset.on = item.call?.attempt ?? "";
}

/** Return the call that the viewer is on as a supervisor. */
function ownCoaching(snapshot) {
  for (const item of snapshot?.operators ?? []) {
    const own = item.call?.coached?.find((one) => one.user === me);
    if (own) return { attempt: item.call.attempt, name: item.name, ...own };
  }
  return null;
}

/** Say aloud what became of the viewer's own coaching. */
function tellCoaching(before, after) {
  const [was, is] = [ownCoaching(before), ownCoaching(after)];
  if (is?.on && !(was?.on && was.mode === is.mode)) announce(`${is.name}: ${said("you", is.mode)}`);
  if (was && !was.on && !is && leaves !== was.attempt) {
    const goesOn = after.operators.some((item) => item.call?.attempt === was.attempt && item.call.talks);
    if (goesOn) toast("bad", words.notTaken);
  }
  if (!is) leaves = null;
}

if (mayCoach) {
  $("operators").addEventListener("click", (event) => {
    const button = event.target.closest("[data-coach] [data-action]");
    if (!button) return;
    if (button.dataset.action === "leave") {
      leaves = Number(button.dataset.on);
    } else if (!root.dataset.phone) {
      event.stopImmediatePropagation();
      toast("bad", words.noPhone);
      $("extension").focus();
    }
  });
}

function showSigns(node, item) {
  const phone = part(node, "phone");
  text(phone, item.phone == null ? words.outside : item.phone ? words.registered : words.unregistered);
  attribute(phone, "data-tone", item.phone === false ? "bad" : "good");
  const client = part(node, "client");
  client.hidden = !item.client;
  text(client, { on: words.clientOn, off: words.clientOff, mode: words.clientMode }[item.client] ?? "");
  attribute(client, "data-tone", item.client === "on" ? "good" : "warn");
}

// --- what runs with the clock: of the rows in sight alone ---

const inSight = new Set();
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) entry.isIntersecting ? inSight.add(entry.target) : inSight.delete(entry.target);
  tick();
});

function tick() {
  if (!last || clock.stopped) return;
  const now = clock.read();
  text($("clock"), timeOfDay.format(now) + (last.factor === 1 ? "" : ` ×${last.factor}`));
  for (const node of inSight) {
    if (!node.isConnected) {
      inSight.delete(node);
      seen.unobserve(node);
    } else {
      run(node, node.item, now);
    }
  }
}
setInterval(tick, 1000);

function run(node, item, now) {
  text(part(node, "for"), item.since == null ? "" : item.until ? span(item.until - now + 999) : span(now - item.since));
  if (item.call) text(part(node, "running"), span(now - item.call.since));
  const rest = item.rests_until ? item.rests_until - now : 0;
  text(part(node, "note"), rest > 0 ? `${words.rests} ${span(rest + 999)}` : item.note ?? "");
  if (item.last) {
    const at = part(node, "last");
    text(at, now - item.last.at < 20 * 3600 * 1000 ? clockTime.format(item.last.at) : dayAndTime.format(item.last.at));
  } else {
    text(part(node, "last"), "");
  }
}

// --- what the viewer asks for ---

$("filters").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const key = button.dataset.group;
  if (!asked.groups.delete(key)) asked.groups.add(key);
  attribute(button, "aria-pressed", String(asked.groups.has(key)));
  draw();
});
$("campaign").addEventListener("change", (event) => {
  asked.campaign = event.target.value;
  draw();
});
$("q").addEventListener("input", (event) => {
  asked.words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  draw();
});
$("search").addEventListener("submit", (event) => event.preventDefault());
$("clear").addEventListener("click", () => {
  Object.assign(asked, { campaign: "", words: [] });
  asked.groups.clear();
  $("campaign").value = $("q").value = "";
  showFilters(last.operators);
  draw();
});
$("table").tHead.addEventListener("click", (event) => {
  const head = event.target.closest("button")?.closest("th");
  if (!head) return;
  const sort = head.dataset.sorts;
  asked.down = asked.sort === sort ? !asked.down : Boolean(firstDown[sort]);
  asked.sort = sort;
  for (const other of $("table").tHead.querySelectorAll("[data-sorts]")) {
    if (other === head) attribute(other, "aria-sort", asked.down ? "descending" : "ascending");
    else other.removeAttribute("aria-sort");
  }
  draw();
});

press($("operators"));
begin(show);
