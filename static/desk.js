// The operators' desk. What it shows of state and calls is the socket's snapshot and the messages that follow; nothing
// of that is kept by the page, so that a reload or a new connection shows the same. Stands on page.js.
"use strict";

clock.set(Number(root.dataset.now), Number(root.dataset.factor));

const RESULT_SOON = 15000;
/** Milliseconds within which an answer comes; after that a result is sent again. */
const ANSWER_WITHIN = 5000;
const AGAIN_AFTER = 2000;

const instant = (text) => (text ? Date.parse(text) : null);
const form = $("form");
const field = form.elements;

/** What a browser keeps; what it does not (its storage is full, or forbidden) lives as long as the page. */
function keeping(storage) {
  const here = new Map();
  return {
    read(key, otherwise) {
      if (here.has(key)) return here.get(key) ?? otherwise;
      try {
        return JSON.parse(storage().getItem(key)) ?? otherwise;
      } catch {
        return otherwise;
      }
    },
    write(key, value) {
      try {
        if (value === null) storage().removeItem(key);
        else storage().setItem(key, JSON.stringify(value));
        here.delete(key);
      } catch {
        here.set(key, value);
      }
    },
  };
}
const own = (name) => `desk:${root.dataset.operator}:${name}`;
const browser = keeping(() => localStorage);
const tab = keeping(() => sessionStorage);

// --- what the server told ---

let me = null;
let state = null;
let campaigns = new Map();
let calls = new Map();
let connected = false;
/** Whether this tab asks to be the one that is worked at: when it comes, and again when it was that and was lost. */
let asksToLead = true;
/** Milliseconds in which the server, which has answered, tells who leads. */
const LEAD_WITHIN = 3000;

const isElsewhere = () => Boolean(state?.leader) && state.leader !== me && !asksToLead;

let leadAsked = 0;

async function takeOver() {
  asksToLead = true;
  clearTimeout(leadAsked);
  const answer = await ask("take_over");
  if (answer.ok) leadAsked = setTimeout(() => ((asksToLead = false), draw()), LEAD_WITHIN);
}

/** Whether the phone in the page, if it is there, is this tab's; another window's has it meanwhile. */
let hasPhone = false;

function handPhone() {
  const has = state?.leader === me || (hasPhone && !isElsewhere());
  if (has === hasPhone) return;
  hasPhone = has;
  document.dispatchEvent(new Event(has ? "desk:leads" : "desk:rests"));
}

const LATER = { ringing: "ringing_at", dialling: "dialled_at", connected: "connected_at", ended: "ended_at" };

const HEAR = {
  snapshot(message) {
    clock.set(instant(message.now), message.clock_factor);
    me = message.client;
    state = message.state;
    calls = new Map(message.calls.map((call) => [call.attempt, call]));
    campaigns = new Map(message.campaigns.map((campaign) => [campaign.id, campaign]));
    link(true);
    handPhone();
    if (asksToLead) takeOver().catch(() => {});
    refreshLists();
  },
  state({ type, seq, ...now }) {
    const before = state;
    state = now;
    if (state.leader === me) asksToLead = false;
    handPhone();
    tellState(before);
    if (state.state !== before.state) refreshLists();
  },
  reserved({ type, seq, ...call }) {
    if (!calls.has(call.attempt)) announce(`${words.newCall} ${call.name || words.nameless}, ${call.campaign.name}`);
    calls.set(call.attempt, call);
    chosen = null;
  },
  call(message) {
    HEAR.reserved(message);
  },
  stage({ attempt, stage, at }) {
    change(attempt, { stage, since: at, ...(LATER[stage] && !calls.get(attempt)?.[LATER[stage]] ? { [LATER[stage]]: at } : {}) });
    if (attempt === shown?.attempt) announce(words[camel("stage", stage)]);
  },
  coached({ attempt, mode }) {
    change(attempt, { coached: mode });
    if (mode) announce(words[camel("coached", mode)]);
  },
  connected({ attempt, at }) {
    change(attempt, { connected_at: at });
  },
  ended({ attempt, at, cause, talk, ended_by }) {
    change(attempt, { ended_at: at, cause, talk, ended_by, stage: "ended" });
    refreshLists();
  },
  result_wanted({ attempt, until }) {
    change(attempt, { result_wanted: true, result_until: until });
  },
  result_taken({ attempt, applied }) {
    change(attempt, { result_wanted: false, result: applied ? "applied" : "stored" });
    refreshLists();
  },
  result_timed_out({ attempt }) {
    change(attempt, { result_wanted: false, result: "timed_out" });
    if (attempt === shown?.attempt) announce(words.timedOut);
  },
  campaign({ id, name, state: now, assigned }) {
    if (assigned) campaigns.set(id, { id, name, state: now });
    else campaigns.delete(id);
  },
  answer(message) {
    const waiting = asked.get(message.id);
    asked.delete(message.id);
    waiting?.(message);
  },
};

/** Return the name of a word that is about something: of `stage` and `ringing` it is `stageRinging`. */
const camel = (about, what) => about + what[0].toUpperCase() + what.slice(1);

function change(attempt, values) {
  const call = calls.get(attempt);
  if (call) Object.assign(call, values);
}

function hear(message) {
  if (message.type === "problem" || message.type === "login_wanted") {
    checkLogin();
    return false;
  }
  HEAR[message.type]?.(message);
  draw();
  sendKept();
}

/** Lead to the log-in if it is over; a socket that is refused for another reason is tried again. */
async function checkLogin() {
  try {
    const response = await fetch(root.dataset.url);
    if (response.status === 401 || response.status === 403) leave();
  } catch {
    // The network is gone, too.
  }
}

function link(alive) {
  connected = alive;
  onLink(alive, true);
  attribute($("link"), "data-link", alive ? "live" : "lost");
}

// --- asking ---

const asked = new Map();
let lastId = 0;

/** Ask for something; the answer comes, or this fails: with `Error("lost")` when nobody knows whether it was done. */
function ask(type, fields = {}) {
  return new Promise((answer, fail) => {
    lastId += 1;
    const id = lastId;
    if (!connected || !held.send({ ...fields, type, id })) return fail(new Error("lost"));
    const limit = setTimeout(() => {
      asked.delete(id);
      fail(new Error("lost"));
    }, ANSWER_WITHIN);
    asked.set(id, (message) => {
      clearTimeout(limit);
      if (message) answer(message);
      else fail(new Error("lost"));
    });
  });
}

function loseAnswers() {
  const waiting = [...asked.values()];
  asked.clear();
  for (const each of waiting) each(null);
}

const told = (problem) => [problem.detail, ...Object.values(problem.errors ?? {}).flat()].filter(Boolean).join(" ");

async function order(type, fields = {}) {
  try {
    const answer = await ask(type, fields);
    if (!answer.ok) toast("bad", told(answer.problem));
    return answer.ok;
  } catch {
    toast("bad", words.notConnected);
    return false;
  }
}

// --- status ---

const TONES = { Idle: "off", Waiting: "free", Reserved: "held", Receiving: "ring", "In a queue call": "talk", "Wrap up": "wrap" };
const NAMES = { Idle: "idle", Waiting: "waiting", Reserved: "reserved", Receiving: "receiving", "In a queue call": "inCall", "Wrap up": "wrapUp" };
const STATUS_NAMES = { Available: "statusAvailable", "Available (On Demand)": "statusOnDemand", "On Break": "onBreak", "Logged Out": "loggedOut" };
const STATUS_KEYS = { F2: "Available", F4: "Available (On Demand)", F8: "On Break", F9: "Logged Out" };
const AWAY = { "On Break": "break", "Logged Out": "off" };

const isAway = () => state.state === "Idle" && state.status in AWAY;
/** The call that he is on; before the subscriber has answered he hears how that phone rings. */
const onLine = () => (state.state === "In a queue call" ? allCalls().find((call) => !call.ended_at) : undefined);
const isCalling = () => onLine()?.connected_at === null;
const label = () => words[isAway() ? STATUS_NAMES[state.status] : isCalling() ? "calling" : NAMES[state.state]];
const since = () => instant(isAway() ? state.status_since : (onLine()?.connected_at ?? state.since));
const tone = () => (isAway() ? AWAY[state.status] : isCalling() ? "ring" : TONES[state.state]);
const mayBeReady = () => state.state === "Wrap up" || (state.state === "Idle" && !(state.status in AWAY));

function tellState(before) {
  const heard = [];
  if (before.state !== state.state || before.status !== state.status) heard.push(label());
  if (state.forced_break && !before.forced_break) heard.push(words.forced);
  if (state.next_status && state.next_status !== before.next_status) heard.push(`${words.then} ${words[STATUS_NAMES[state.next_status]]}`);
  if (heard.length) announce(heard.join(". "));
}

function drawState() {
  attribute($("strip"), "data-tone", tone());
  text($("state"), label());
  text($("note"), noteOf());
  const chosen = state.next_status ?? state.status;
  for (const button of $("statuses").children) {
    attribute(button, "aria-pressed", String(button.dataset.status === chosen));
    button.classList.toggle("is-later", button.dataset.status === state.next_status);
  }
  $("ready").hidden = !mayBeReady();
  const extendable = extendableOf(extended());
  $("extends").hidden = !extendable;
  for (const button of $("extends").children) {
    const seconds = Math.min(Number(button.dataset.extend), extendable);
    button.hidden = button.dataset.extend === "60" && extendable <= 30;
    button.dataset.seconds = seconds;
    const says = words.seconds.replace("%d", seconds);
    if (button.dataset.says !== says) {
      button.dataset.says = says;
      button.textContent = says;
      if (button.dataset.extend === "30") button.insertAdjacentHTML("beforeend", " <kbd>=</kbd>");
    }
  }
  drawPhone();
  if ($("mode")) $("mode").checked = state.call_centre_mode;
}

/** The call whose wrap-up or time for the result may be made longer: the one that is shown, or the last one. */
function extended() {
  if (shown?.ended_at && shown.result_wanted) return shown;
  return state.state === "Wrap up" ? allCalls()[0] : undefined;
}

const extendableOf = (call) => (call && call === allCalls()[0] ? state.extendable : (call?.result_extendable ?? 0));

function noteOf() {
  if (state.next_status) return `${words.then} ${words[STATUS_NAMES[state.next_status]]}`;
  if (state.forced_break) return words.forced;
  if (state.status === "On Break") return state.reason;
  if (state.status in AWAY) return "";
  if (root.dataset.usesClient === "yes" && !state.call_centre_mode) return words.modeOff;
  return state.status === "Available (On Demand)" ? words.onDemand : "";
}

function drawPhone() {
  const outside = root.dataset.contact;
  const on = Boolean(outside) || state.phone_registered;
  attribute($("registered"), "data-tone", on ? "good" : "bad");
  use($("registered"), on ? "phone" : "phone-off");
  text(part($("registered"), "word"), outside ? `${words.phoneOutside} ${outside}` : on ? words.phoneOn : words.phoneOff);
}

function chooseStatus(status) {
  if (status === "On Break") openBreak();
  else order("status", { status });
}

function openBreak() {
  const parent = $("reasons");
  parent.replaceChildren(
    ...browser.read(own("reasons"), []).map((reason) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", className: "btn btn-sm", textContent: reason });
      button.addEventListener("click", () => beginBreak(reason));
      return button;
    }),
  );
  $("reason").value = "";
  $("break").showModal();
  $("reason").focus();
}

function beginBreak(reason) {
  $("break").close();
  const given = reason.trim();
  if (given) {
    const others = browser.read(own("reasons"), []).filter((other) => other !== given);
    browser.write(own("reasons"), [given, ...others].slice(0, 5));
  }
  order("status", given ? { status: "On Break", reason: given } : { status: "On Break" });
}

// --- the call ---

/** The call that is shown, and the one that somebody chose among those whose result is awaited. */
let shown = null;
let chosen = null;

const allCalls = () => [...calls.values()].sort((a, b) => b.attempt - a.attempt);
const isOpen = (call) => !call.ended_at || call.result_wanted;

function pick() {
  const all = allCalls();
  return (
    all.find((call) => call.attempt === chosen && isOpen(call)) ??
    all.find((call) => !call.ended_at) ??
    all.find((call) => call.result_wanted) ??
    (state.state === "Wrap up" ? all[0] : undefined) ??
    null
  );
}

function drawCall() {
  const call = pick();
  const isOther = call?.attempt !== shown?.attempt;
  shown = call;
  if (isOther) openCall(call);
  $("call").hidden = !call;
  $("idle").hidden = Boolean(call);
  drawOthers();
  drawIdle();
  drawResult();
  if (!call) return;
  const details = detailsOf(call);
  fill($("call"), {
    campaign: call.campaign.name,
    try: words.try.replace("%d", number.format(call.attempt_number)),
    name: call.name || words.nameless,
    number: details?.number ?? call.number,
    external: call.external_id ?? "",
    "talk-word": call.connected_at ? words.talk : "",
  });
  attribute($("call"), "data-tone", call.ended_at ? "off" : tone());
  $("hang-up").hidden = Boolean(call.ended_at);
  drawPath(call);
  const coached = call.ended_at ? "" : call.coached;
  $("coached").hidden = !coached;
  if (coached) text(part($("coached"), "mode"), words[camel("coached", coached)]);
  $("call-end").hidden = !call.ended_at;
  if (call.ended_at) text($("call-end"), `${words[camel("by", call.ended_by || "nobody")]}${call.cause ? ` ${call.cause}` : ""}`);
}

function drawPath(call) {
  const steps = { reserved: call.reserved_at, ringing: call.ringing_at, dialling: call.dialled_at, connected: call.connected_at, ended: call.ended_at };
  let order = ["reserved", "ringing", "dialling", "connected", "ended"];
  const dialsFirst = call.dialled_at && (!call.ringing_at || instant(call.dialled_at) < instant(call.ringing_at));
  if (dialsFirst) order = ["reserved", "dialling", "ringing", "connected", "ended"];
  const items = order
    .filter((stage) => steps[stage] || !call.ended_at)
    .map((stage) => ({ stage, at: steps[stage], now: stage === call.stage }));
  const parent = $("path");
  while (parent.childElementCount > items.length) parent.lastChild.remove();
  while (parent.childElementCount < items.length) {
    const item = document.createElement("li");
    item.innerHTML = '<span class="dot" aria-hidden="true"></span><span></span> <time></time>';
    parent.append(item);
  }
  items.forEach((step, place) => {
    const item = parent.children[place];
    // A stage that was over before anybody was told of it has no time here until the page is read anew.
    item.classList.toggle("is-done", Boolean(step.at) || items.slice(place).some((later) => later.now));
    if (step.now) attribute(item, "aria-current", "step");
    else item.removeAttribute("aria-current");
    text(item.children[1], words[camel("stage", step.stage)]);
    text(item.lastChild, step.at ? timeOfDay.format(instant(step.at)) : "");
  });
}

function drawOthers() {
  const others = allCalls().filter((call) => isOpen(call) && call.attempt !== shown?.attempt);
  $("others").hidden = !others.length;
  const shows = others.map((call) => `${call.attempt} ${call.ended_at}`).join();
  if ($("others").dataset.shows === shows) return;
  $("others").dataset.shows = shows;
  $("others").replaceChildren(
    ...others.map((call) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", className: "btn btn-sm", textContent: `${call.ended_at ? words.awaited : words.onLine} ${call.name || call.number}` });
      button.addEventListener("click", () => {
        chosen = call.attempt;
        draw();
      });
      return button;
    }),
  );
}

function drawIdle() {
  const away = state.status in AWAY;
  const isReached = Boolean(root.dataset.contact) || state.phone_registered;
  const noMode = root.dataset.usesClient === "yes" && !state.call_centre_mode;
  const ready = !isReached ? "phoneStart" : noMode ? "modeOff" : state.state === "Idle" ? "idleReady" : "idleWaiting";
  text($("h-idle"), words[state.state === "Wrap up" ? "idleWrapUp" : away ? "idleAway" : ready]);
  const [last] = allCalls();
  $("last-call").hidden = !last;
  if (last) {
    const parts = [last.name || last.number, span(1000 * last.talk), last.disposition, last.result === "timed_out" ? words.timedOut : ""];
    text($("last-call"), `${words.last} ${parts.filter(Boolean).join(" · ")}`);
  }
}

// --- what is known of whom he speaks to ---

const known = new Map();
const fetching = new Set();

function detailsOf(call) {
  if (!known.has(call.attempt)) fetchDetails(call.attempt);
  return known.get(call.attempt);
}

async function fetchDetails(attempt) {
  if (fetching.has(attempt) || !connected) return;
  fetching.add(attempt);
  let again = 0;
  try {
    const response = await fetch(root.dataset.call.replace("/0/", `/${attempt}/`), { headers: { Accept: "application/json" } });
    if (response.status === 401 || response.status === 403) return leave();
    if (response.ok) known.set(attempt, await response.json());
    else if (response.status >= 500) again = AGAIN_AFTER;
    else known.set(attempt, null);
  } catch {
    again = AGAIN_AFTER;
  } finally {
    if (again) setTimeout(() => (fetching.delete(attempt), draw()), again);
    else fetching.delete(attempt);
  }
  if (shown?.attempt === attempt && known.get(attempt)) {
    drawDetails(known.get(attempt));
    draw();
  }
}

function drawDetails(details) {
  for (const name of ["text", "story"]) {
    $(name).innerHTML = details?.[name] ?? "";
    htmx.process($(name));
    $(name).dispatchEvent(new CustomEvent("htmx:load", { bubbles: true, detail: { elt: $(name) } }));
  }
  const options = [["", words.asPlanned]];
  for (const each of details?.numbers ?? []) {
    const notes = [each.description, each.dialled ? words.dialled : "", each.stopped ? words.stopped : ""].filter(Boolean);
    options.push([each.number, notes.length ? `${each.read} (${notes.join(", ")})` : each.read]);
  }
  options.push(["new", words.another]);
  field.next.replaceChildren(...options.map(([value, says]) => new Option(says, value)));
  drawOutcomes(details);
}

function drawVariables(call) {
  const pairs = Object.entries(call?.variables ?? {});
  $("variables-card").hidden = !pairs.length;
  $("variables").replaceChildren(
    ...pairs.map(([name, value]) => {
      const row = document.createElement("div");
      const [term, says] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      const written = typeof value === "string" ? value : JSON.stringify(value);
      if (/^https?:\/\/\S+$/i.test(written)) {
        const anchor = document.createElement("a");
        Object.assign(anchor, { href: written, target: "_blank", rel: "noopener noreferrer", textContent: written });
        says.append(anchor);
      } else {
        says.textContent = written;
      }
      row.append(term, says);
      return row;
    }),
  );
}

// --- the result ---

/** The disposition that was chosen and asks for more, or nothing. */
let disposition = null;
let whole = false;

const isKept = (attempt) => String(attempt) in kept;
const mayReport = (call) => Boolean(call?.connected_at && call.result_wanted && !isKept(call.attempt));

/** Show another call: its details, and what was typed about it before. */
function openCall(call) {
  disposition = null;
  form.reset();
  clearFaults();
  drawVariables(call);
  const details = call ? detailsOf(call) : null;
  drawDetails(details);
  for (const attempt of known.keys()) if (!calls.has(attempt)) known.delete(attempt);
  if (!call) return openWhole(false);
  restore(call);
}

function restore(call) {
  const draft = tab.read(own(`draft:${call.attempt}`), null);
  openWhole(Boolean(draft?.whole));
  if (!draft) return;
  for (const [name, value] of Object.entries(draft.fields)) {
    if (field[name]?.type === "checkbox") field[name].checked = value;
    else if (field[name]) field[name].value = value;
  }
  disposition = known.get(call.attempt)?.dispositions.find((each) => each.name === draft.disposition) ?? null;
  drawForm();
}

const FIELDS = ["comment", "success", "when", "at", "mine", "next", "next_new", "stop", "anew"];

function keepDraft() {
  if (!shown) return;
  const fields = Object.fromEntries(FIELDS.map((name) => [name, field[name].type === "checkbox" ? field[name].checked : field[name].value]));
  tab.write(own(`draft:${shown.attempt}`), { fields, disposition: disposition?.name ?? null, whole });
}

function drawOutcomes(details) {
  $("outcomes").replaceChildren(
    ...(details?.dispositions ?? []).map((each) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "outcome";
      button.dataset.tone = each.tone;
      button.dataset.name = each.name;
      const name = document.createElement("span");
      name.textContent = each.name;
      button.append(name);
      if (each.hotkey) {
        const key = document.createElement("kbd");
        key.textContent = each.hotkey;
        button.append(key);
      }
      button.addEventListener("click", () => choose(each));
      return button;
    }),
  );
  // What was typed may name a disposition that is only known now.
  if (shown && details && details.attempt === shown.attempt) restore(shown);
}

function drawResult() {
  const call = shown;
  const wanted = Boolean(call?.connected_at) && (call.result_wanted || isKept(call.attempt));
  const given = call && !call.result_wanted && ["stored", "applied", "timed_out"].includes(call.result);
  $("result").hidden = !(wanted || given);
  form.hidden = !mayReport(call);
  const sending = call && isKept(call.attempt) && call.result_wanted;
  $("given").hidden = !(given || sending);
  attribute($("given"), "data-tone", call?.result === "timed_out" ? "bad" : sending ? "warn" : "good");
  if (given || sending) {
    const name = kept[call.attempt]?.label ?? labels.get(call.attempt) ?? call.disposition ?? "";
    const says = sending ? (connected ? words.sending : words.kept) : call.result === "stored" ? words.stored : words.taken;
    text($("given-word"), call.result === "timed_out" ? words.timedOut : `${says} ${name || words.result}`);
    use($("given"), call.result === "timed_out" ? "alert-circle" : "circle-check");
  }
  drawForm();
}

const meaningOf = () => disposition?.meaning ?? (field.success.value === "yes" ? "success" : "failure");

function drawForm() {
  $("whole").hidden = !whole;
  $("more-line").hidden = whole;
  attribute($("more"), "aria-expanded", String(whole));
  for (const button of $("outcomes").children) attribute(button, "aria-pressed", String(button.dataset.name === disposition?.name));
  text($("chosen"), disposition?.name ?? "");
  attribute($("chosen"), "data-tone", disposition?.tone ?? "off");
  $("chosen").hidden = !disposition;
  $("plain-of").hidden = Boolean(disposition);
  const meaning = meaningOf();
  $("if-again").hidden = meaning === "success" || meaning === "do_not_call" || !(disposition || field.success.value === "no");
  const when = field.when.value;
  $("time-of").hidden = !when;
  $("if-mine").hidden = when !== "call_back";
  $("next-new").hidden = field.next.value !== "new";
  if (shown) text($("zone"), `(${zoneOf(shown)})`);
  drawAt();
}

function openWhole(isOpen) {
  whole = isOpen;
  drawForm();
}

/** Take a disposition: sent at once when it asks for nothing more, else the fields that it asks for are opened. */
function choose(each) {
  if (!mayReport(shown)) return;
  disposition = each;
  clearFaults();
  const missing = missingOf(each);
  if (!missing.length) return give();
  if (each.asks.includes("call_back_at")) field.when.value = "call_back";
  openWhole(true);
  keepDraft();
  focusOn(missing[0]);
}

function missingOf(each) {
  // What a form holds that is not open is not said.
  const has = {
    comment: field.comment.value.trim(),
    next_communication: whole && nextNumber(),
    call_back_at: whole && field.when.value === "call_back" && field.at.value,
  };
  return (each?.asks ?? []).filter((name) => !has[name]);
}

const PLACES = { comment: () => field.comment, next_communication: () => (field.next.value === "new" ? field.next_new : field.next), call_back_at: () => $("time-of").querySelector("button"), success: () => field.success[0] };

function focusOn(name) {
  PLACES[name]?.().focus();
}

const nextNumber = () => (field.next.value === "new" ? field.next_new.value.trim() : field.next.value);

function clearFaults() {
  for (const node of form.querySelectorAll("[data-fault]")) {
    node.hidden = true;
    node.textContent = "";
    node.parentElement.classList.remove("is-bad");
  }
}

const AT_FIELDS = { next_after_sec: "call_back_at", call_back_mine: "call_back_at", disposition: "form", attempt: "form", reset_retries: "form", do_not_call: "form" };

function showFaults(errors) {
  clearFaults();
  let first = null;
  for (const [name, texts] of Object.entries(errors)) {
    const place = AT_FIELDS[name] ?? name.split(".")[0];
    const node = form.querySelector(`[data-fault="${CSS.escape(place)}"]`) ?? form.querySelector('[data-fault="form"]');
    node.textContent = [node.textContent, ...[texts].flat()].filter(Boolean).join(" ");
    node.hidden = false;
    node.parentElement.classList.add("is-bad");
    first ??= place;
  }
  if (first && first !== "form") {
    if (first === "call_back_at") field.when.value ||= "call_back";
    openWhole(true);
    focusOn(first);
  }
}

function bodyOf(call) {
  const body = { attempt: call.attempt };
  if (disposition) body.disposition = disposition.name;
  else body.success = field.success.value === "yes";
  const comment = field.comment.value;
  if (comment.trim()) body.comment = comment;
  const meaning = meaningOf();
  // A button that sends at once says nothing of what the closed form holds.
  if (meaning === "success" || meaning === "do_not_call" || !whole) return body;
  const at = chosenInstant();
  if (field.when.value === "call_back" && at !== null) {
    body.call_back_at = new Date(at).toISOString();
    if (field.mine.checked) body.call_back_mine = true;
  } else if (field.when.value === "not_before" && at !== null) {
    const from = Math.max(clock.read(), instant(call.ended_at) ?? 0);
    body.next_after_sec = Math.max(0, Math.round((at - from) / 1000));
  }
  if (nextNumber()) body.next_communication = nextNumber();
  if (field.stop.value) body.stop_communications = field.stop.value === "all" ? "all" : [call.number];
  if (field.anew.checked) body.reset_retries = true;
  return body;
}

function give() {
  if (!mayReport(shown)) return;
  const errors = {};
  if (!disposition && !field.success.value) errors.success = words.choose;
  for (const name of missingOf(disposition)) errors[name] = words.required;
  const at = chosenInstant();
  if (field.when.value && whole && !$("if-again").hidden) {
    if (at === null) errors.call_back_at = words.required;
    else if (at < clock.read() - 60000) errors.call_back_at = words.past;
  }
  if (Object.keys(errors).length) {
    openWhole(true);
    return showFaults(errors);
  }
  clearFaults();
  const says = disposition?.name ?? (field.success.value === "yes" ? words.success : words.notSuccess);
  keepDraft();
  keepResult(shown.attempt, { body: bodyOf(shown), label: says, name: shown.name || shown.number });
  draw();
  sendKept();
}

// --- results on their way: kept by the browser until the server has answered ---

let kept = browser.read(own("kept"), {});
let refused = browser.read(own("refused"), []);
/** What was said of calls whose result was taken while this page was open. */
const labels = new Map();
const underWay = new Set();

function keepResult(attempt, result) {
  kept = { ...browser.read(own("kept"), {}) };
  if (result) kept[attempt] = result;
  else delete kept[attempt];
  browser.write(own("kept"), Object.keys(kept).length ? kept : null);
  drawKept();
}

/** Refusals after which nothing that is typed anew would be taken. */
const OVER = new Set(["TIMED_OUT", "ALREADY_GIVEN", "NOT_AWAITED", "NOT_FOUND", "MODE_OFF", "NOT_CONNECTED"]);

async function sendKept() {
  if (!connected || isElsewhere()) return;
  for (const [attempt, result] of Object.entries(kept)) {
    if (underWay.has(attempt)) continue;
    underWay.add(attempt);
    let again = false;
    try {
      const answer = await ask("result", result.body);
      if (answer.ok) taken(attempt, result, answer);
      else if (answer.problem.status === 429 || answer.problem.status >= 500) again = true;
      else refuse(attempt, result, answer.problem);
    } catch {
      again = true;
    }
    if (again) setTimeout(() => (underWay.delete(attempt), sendKept()), AGAIN_AFTER);
    else underWay.delete(attempt);
  }
  drawKept();
}

function taken(attempt, result, answer) {
  labels.set(Number(attempt), result.label);
  keepResult(attempt, null);
  tab.write(own(`draft:${attempt}`), null);
  change(Number(attempt), { result_wanted: false, result: answer.result === "stored" ? "stored" : "applied", disposition: result.body.disposition ?? "" });
  announce(`${words.taken} ${result.label}`);
  draw();
}

function refuse(attempt, result, problem) {
  keepResult(attempt, null);
  if (!OVER.has(problem.code) && shown?.attempt === Number(attempt) && mayReport(shown)) {
    draw();
    const errors = problem.errors ?? {};
    return showFaults(Object.keys(errors).length ? errors : { form: told(problem) });
  }
  refused = [...refused, { attempt, name: result.name, label: result.label, comment: result.body.comment ?? "", why: told(problem) }].slice(-10);
  browser.write(own("refused"), refused);
  announce(`${words.notTaken} ${told(problem)}`);
  draw();
}

function drawKept() {
  const waiting = Object.entries(kept).filter(([attempt]) => !connected || !underWay.has(attempt));
  $("kept").hidden = !waiting.length;
  text($("kept-of"), waiting.map(([, result]) => `${result.name}: ${result.label}`).join("; "));
}

function drawRefused() {
  const parent = $("refused");
  const shows = JSON.stringify(refused);
  if (parent.dataset.shows === shows) return;
  parent.dataset.shows = shows;
  parent.replaceChildren(
    ...refused.map((each, place) => {
      const item = document.createElement("li");
      item.className = "notice notice-bad";
      const says = document.createElement("div");
      const why = document.createElement("p");
      const strong = document.createElement("strong");
      strong.textContent = `${words.notTaken} ${each.name}, ${each.label}.`;
      why.append(strong, ` ${each.why}`);
      says.append(why);
      if (each.comment) {
        const comment = document.createElement("p");
        comment.className = "refused-comment";
        comment.textContent = each.comment;
        says.append(comment);
      }
      item.append(says, smallButton(words.dismiss, () => {
        refused = refused.filter((_each, other) => other !== place);
        browser.write(own("refused"), refused.length ? refused : null);
        drawRefused();
      }));
      return item;
    }),
  );
}

function smallButton(says, act) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "btn btn-sm", textContent: says });
  button.addEventListener("click", act);
  return button;
}

// --- times of the subscriber: what is typed is his wall clock ---

const zoneOf = (call) => known.get(call.attempt)?.zone ?? call.time_zone;

/** Write an instant as the wall clock of a zone shows it, as a field of date and time has it. */
function wallClock(at, zone) {
  const style = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone };
  const parts = Object.fromEntries(new Intl.DateTimeFormat("en", style).formatToParts(at).map(({ type, value }) => [type, value]));
  return `${parts.year}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}`;
}

/** Return the instant at which the wall clock of a zone shows this. */
function instantAt(wall, zone) {
  const naive = Date.parse(`${wall}Z`);
  if (Number.isNaN(naive)) return null;
  const ahead = (at) => Date.parse(`${wallClock(at, zone)}Z`) - Math.floor(at / 60000) * 60000;
  const guess = naive - ahead(naive);
  return naive - ahead(guess);
}

const chosenInstant = () => (shown && field.at.value ? instantAt(field.at.value, zoneOf(shown)) : null);

function preset(which) {
  const zone = zoneOf(shown);
  const now = clock.read();
  if (which === "tomorrow") {
    const today = wallClock(now, zone).slice(0, 10);
    const tomorrow = new Date(Date.parse(`${today}T00:00Z`) + 86400000).toISOString().slice(0, 10);
    field.at.value = `${tomorrow}T10:00`;
  } else {
    // To the whole minute, not before it.
    field.at.value = wallClock(Math.ceil((now + 1000 * Number(which)) / 60000) * 60000, zone);
  }
  form.dispatchEvent(new Event("input"));
  const next = missingOf(disposition)[0];
  if (next) focusOn(next);
  else $("send").focus();
}

let atShown = null;
let atAsking = 0;

function drawAt() {
  const at = field.when.value ? chosenInstant() : null;
  if (at === atShown) return;
  atShown = at;
  const here = { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  text($("at-here"), at === null ? "" : `${words.here} ${new Intl.DateTimeFormat(locale, here).format(at)}`);
  text($("at-closed"), "");
  clearTimeout(atAsking);
  if (at !== null) atAsking = setTimeout(askOpening, 250, at);
}

async function askOpening(at) {
  const details = shown && known.get(shown.attempt);
  if (!details) return;
  try {
    const response = await fetch(`${details.opens}?at=${encodeURIComponent(new Date(at).toISOString())}`, { headers: { Accept: "application/json" } });
    const answer = await response.json();
    if (at !== atShown || !response.ok) return;
    text($("at-closed"), answer.told);
    $("at-closed").classList.toggle("is-closed", !answer.open);
  } catch {
    // The server says so again when the result is sent.
  }
}

// --- all of it ---

function drawLeader() {
  const elsewhere = isElsewhere();
  $("other-tab").hidden = !elsewhere;
  root.inert = elsewhere;
  root.classList.toggle("is-elsewhere", elsewhere);
}

const CAMPAIGN_TONES = { running: "good", sleeping: "wrap", stopping: "warn", completed: "talk" };

function drawCampaigns() {
  const all = [...campaigns.values()].sort((a, b) => a.name.localeCompare(b.name));
  $("no-campaigns").hidden = all.length > 0;
  const shows = JSON.stringify(all);
  if ($("campaigns").dataset.shows === shows) return;
  $("campaigns").dataset.shows = shows;
  $("campaigns").replaceChildren(
    ...all.map((campaign) => {
      const item = document.createElement("li");
      item.innerHTML = '<span></span> <span class="chip"><span class="dot" aria-hidden="true"></span><span></span></span>';
      item.firstChild.textContent = campaign.name;
      item.lastChild.dataset.tone = CAMPAIGN_TONES[campaign.state] ?? "off";
      item.lastChild.lastChild.textContent = words[{ stopped: "stoppedCampaign", idle: "idleCampaign" }[campaign.state] ?? campaign.state] ?? campaign.state;
      return item;
    }),
  );
}

function draw() {
  if (!state) return;
  drawLeader();
  drawState();
  drawCall();
  drawCampaigns();
  drawKept();
  drawRefused();
  tick();
}

/** Move everything that runs with the clock. */
function tick() {
  if (!state) return;
  const now = clock.read();
  const time = span(now - (since() ?? now));
  text($("since"), time);
  const left = instant(state.until) - now;
  const word = state.state === "Wrap up" ? words.left : words.rests;
  const ends = state.until && left > 0 ? span(left + 999) : "";
  text($("until"), !ends ? "" : state.state === "Wrap up" ? `${ends} ${word}` : `${word} ${ends}`);
  if (shown) {
    const talkEnd = instant(shown.ended_at) ?? now;
    text(part($("call"), "talk"), shown.connected_at ? span(shown.ended_at ? 1000 * shown.talk : talkEnd - instant(shown.connected_at)) : "");
  }
  tickResult(now);
  const title = [ends && state.state === "Wrap up" ? ends : time, label(), shown?.name].filter(Boolean).join(" · ");
  if (document.title !== title) document.title = title;
}

function tickResult(now) {
  const until = shown?.result_wanted ? instant(shown.result_until) : null;
  $("countdown").hidden = until === null;
  $("result").classList.toggle("is-soon", until !== null && until - now < RESULT_SOON);
  if (!shown?.result_wanted) return text($("left"), "");
  if (until === null) return text($("left"), words.during);
  const left = Math.max(0, until - now);
  text($("left"), `${span(left + 999)} ${words.left}`);
  const began = instant(shown.ended_at) ?? now;
  width($("countdown").firstElementChild, until > began ? Math.min(1, left / (until - began)) : 0);
}

/** Milliseconds after which the day is read once more: what all share of it may be some seconds old. */
const DAY_LATER = 4000;
let refreshing = 0;

function refreshLists() {
  const refresh = () => htmx.trigger(document.body, "desk:refresh");
  refresh();
  clearTimeout(refreshing);
  refreshing = setTimeout(refresh, DAY_LATER);
}

// --- keys ---

const isTyping = (target) => target.closest?.("input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]");

/** Return the letter or digit of a key, on any layout. */
function letterOf(event) {
  const typed = event.key.toLowerCase();
  if (/^[0-9a-z]$/.test(typed)) return typed;
  return /^(?:Key|Digit|Numpad)([A-Z0-9])$/.exec(event.code)?.[1].toLowerCase() ?? "";
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || event.repeat || !state) return;
  if (event.key === "Escape") return leaveField(event);
  if (isTyping(event.target) || document.querySelector("dialog[open]") || root.inert) return;
  const act = actOf(event);
  if (!act) return;
  event.preventDefault();
  act();
}

function actOf(event) {
  if (event.key === "?") return () => $("keys").showModal();
  if (event.shiftKey) return null;
  if (event.key in STATUS_KEYS) return () => chooseStatus(STATUS_KEYS[event.key]);
  if (event.key === "End" && shown && !shown.ended_at) return () => $("hang-up").click();
  if (event.key === "=" || event.key === "+") return $("extends").hidden ? null : () => $("extends").firstElementChild.click();
  if (event.key === "Enter") {
    const onControl = event.target.closest?.("a, button, input, summary, label");
    return mayReport(shown) && !whole && !onControl ? () => $("more").click() : null;
  }
  const letter = letterOf(event);
  if (letter === "0") return mayBeReady() ? () => $("ready").click() : null;
  const outcome = letter && mayReport(shown) && known.get(shown.attempt)?.dispositions.find((each) => each.hotkey === letter);
  return outcome ? () => choose(outcome) : null;
}

function leaveField(event) {
  if (document.querySelector("dialog[open]")) return;
  if (isTyping(event.target)) event.target.blur();
  else if (whole) closeWhole();
}

function closeWhole() {
  disposition = null;
  clearFaults();
  openWhole(false);
  keepDraft();
}

// Before the keys of the phone in the page, which rest where a disposition has the same.
document.addEventListener("keydown", onKey, true);

// --- what is pressed ---

$("statuses").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) chooseStatus(button.dataset.status);
});
$("break-form").addEventListener("submit", (event) => {
  event.preventDefault();
  beginBreak($("reason").value);
});
$("ready").addEventListener("click", () => order("ready"));
$("extends").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const call = extended();
  if (button && call) order("extend", { attempt: call.attempt, seconds: Number(button.dataset.seconds) });
});
$("hang-up").addEventListener("click", () => shown && order("hang_up", { attempt: shown.attempt }));
$("mode")?.addEventListener("change", async () => {
  if (!(await order("call_centre_mode", { on: $("mode").checked }))) $("mode").checked = state.call_centre_mode;
});
$("work-here").addEventListener("click", async () => {
  try {
    await takeOver();
  } catch {
    asksToLead = false;
    toast("bad", words.notConnected);
  }
  draw();
});
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(shown.number);
    toast("good", words.copied);
  } catch {
    getSelection().selectAllChildren(part($("call"), "number"));
  }
});
$("more").addEventListener("click", () => {
  openWhole(true);
  keepDraft();
  (disposition ? field.comment : field.success[0]).focus();
});
$("cancel").addEventListener("click", () => {
  closeWhole();
  $("more").focus();
});
form.addEventListener("click", (event) => {
  const button = event.target.closest("[data-preset]");
  if (button) preset(button.dataset.preset);
});
form.addEventListener("input", () => {
  drawForm();
  keepDraft();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (whole) give();
});
$("keys-button").addEventListener("click", () => $("keys").showModal());
for (const button of document.querySelectorAll("dialog [data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
document.addEventListener("htmx:responseError", (event) => {
  if ([401, 403].includes(event.detail.xhr.status)) leave();
});
addEventListener("storage", (event) => {
  if (event.key === own("kept")) kept = browser.read(own("kept"), {});
  if (event.key === own("refused")) refused = browser.read(own("refused"), []);
  draw();
});

setInterval(tick, 250);

const NOT_LOGGED_IN = 4401;
const NOT_ALLOWED = 4403;

const held = hold(root.dataset.socket, {
  stays: true,
  hear,
  lose(failures, code) {
    loseAnswers();
    if (code === NOT_LOGGED_IN || code === NOT_ALLOWED) checkLogin();
    asksToLead = !isElsewhere();
    clearTimeout(leadAsked);
    link(false);
    draw();
  },
});
