// What the pages share that show how things stand: time, drawing, buttons, and where snapshots come from.
"use strict";

const $ = (id) => document.getElementById(id);
const root = document.querySelector("[data-url]");
const words = $("words").dataset;
const icons = root.dataset.icons;

// --- time: the rules' clock may run fast, so running times follow it, not the browser's ---

const clock = {
  now: 0,
  at: 0,
  factor: 1,
  stopped: false,
  set(now, factor) {
    Object.assign(this, { now, factor, at: performance.now(), stopped: false });
  },
  read() {
    return this.stopped || this.now + (performance.now() - this.at) * this.factor;
  },
  stop() {
    this.stopped = this.read();
  },
};

const timeOfDay = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const number = new Intl.NumberFormat(locale);
const percent = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 0 });

function span(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const two = (value) => String(value).padStart(2, "0");
  if (seconds >= 86400) return `${Math.floor(seconds / 86400)} d ${two(Math.floor(seconds / 3600) % 24)} h`;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

const share = (part, whole) => (whole ? percent.format(part / whole) : "–");

// --- drawing: a node is touched only where it differs, so that nothing flickers and focus stays ---

function text(node, value) {
  const wanted = String(value);
  if (node.textContent !== wanted) node.textContent = wanted;
}

function attribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** Write texts into the parts of a node, which its template names by data-NAME. */
function fill(node, values) {
  for (const name in values) text(part(node, name), values[name]);
}

function part(node, name) {
  const parts = (node.parts ??= {});
  return (parts[name] ??= node.querySelector(`[data-${name}]`));
}

const use = (node, icon) => attribute(node.querySelector("use"), "href", `${icons}#${icon}`);

function width(node, value) {
  const wanted = `${(100 * value).toFixed(2)}%`;
  if (node.style.width !== wanted) node.style.width = wanted;
}

function title(node, value) {
  if (node.title !== value) node.title = value;
}

/**
 * Draw a list into a parent. Each item keeps its node by key, and is drawn only when it differs from what the node
 * shows; `draw` gets the node, the item and whether it came while the page was open.
 */
function list(parent, template, items, key, draw) {
  const known = (parent.nodesByKey ??= new Map());
  const first = !parent.drawn;
  parent.drawn = true;
  const left = new Set(known.keys());
  let before = null;
  for (const item of items) {
    const id = key(item);
    left.delete(id);
    let node = known.get(id);
    const isNew = !node;
    if (isNew) {
      node = $(template).content.firstElementChild.cloneNode(true);
      known.set(id, node);
    }
    const shows = JSON.stringify(item);
    if (node.shows !== shows) {
      node.shows = shows;
      draw(node, item, isNew && !first);
    }
    const place = before ? before.nextElementSibling : parent.querySelector(":scope > :not([data-fixed])");
    if (place !== node) parent.insertBefore(node, place);
    before = node;
  }
  for (const id of left) {
    known.get(id).remove();
    known.delete(id);
  }
  const empty = root.querySelector(`.empty[data-of="${parent.id}"]`);
  if (empty) empty.hidden = items.length > 0;
}

/** Let a long list scroll in its card, by keyboard too. */
function many(parent, isMany) {
  parent.classList.toggle("is-many", isMany);
  if (isMany) attribute(parent, "tabindex", "0");
  else parent.removeAttribute("tabindex");
}

function announce(message) {
  text($("announcer"), message);
}

// --- buttons ---

function toast(tone, message) {
  const note = document.createElement("div");
  note.className = `toast-note notice notice-${tone}`;
  const told = document.createElement("p");
  told.textContent = message;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "icon-button";
  close.setAttribute("aria-label", words.close);
  close.innerHTML = `<svg class="icon" aria-hidden="true"><use href="${icons}#x"></use></svg>`;
  close.addEventListener("click", () => note.remove());
  note.append(told, close);
  $("toasts").append(note);
  setTimeout(() => note.remove(), tone === "good" ? 6000 : 15000);
}

/** Do what a button of a list says (`data-action`, on what `data-on` names), once, and tell what came of it. */
function press(parent) {
  parent.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-action]");
    if (!button || button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(root.dataset[button.dataset.action].replace("/0/", `/${button.dataset.on}/`), {
        method: "POST",
        headers: { "X-CSRFToken": $("csrf").elements.csrfmiddlewaretoken.value, Accept: "application/json" },
      });
      if (response.status === 401) return leave();
      const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
      const answer = isJson ? await response.json() : { message: words.failed };
      toast(response.ok ? answer.tone : "bad", answer.message);
    } catch {
      toast("bad", words.failed);
    } finally {
      button.removeAttribute("aria-busy");
      source.now();
    }
  });
}

// --- where snapshots come from ---

const leave = () => location.assign(`${root.dataset.login}?next=${encodeURIComponent(location.pathname)}`);

/** Show whether there is a connection. What a lost one shows stands still, unless it `runs` on by itself. */
function onLink(alive, runs = false) {
  const was = document.body.classList.contains("is-lost");
  if (alive === !was) return;
  document.body.classList.toggle("is-lost", !alive);
  attribute($("link"), "data-link", alive ? "live" : "lost");
  $("lost").hidden = alive;
  if (alive) {
    announce(words.back);
  } else {
    text($("lost-since"), timeOfDay.format(clock.read()));
    if (!runs) clock.stop();
    announce(words.lost);
  }
}

/** Ask for a snapshot each second (or each `data-every` milliseconds) while the page is seen. `link(false)` after two failures in a row, or when offline. */
function follow(url, snapshot, link) {
  let timer = 0;
  let failures = 0;
  let asking = null;
  const every = Number(root.dataset.every ?? 1000);

  async function ask() {
    clearTimeout(timer);
    if (document.hidden || asking) return;
    let found = null;
    asking = new AbortController();
    const limit = setTimeout(() => asking.abort(), 5000);
    try {
      const response = await fetch(url, { signal: asking.signal, headers: { Accept: "application/json" } });
      if (response.status === 401 || response.status === 403) return leave();
      if (!response.ok) throw new Error(response.status);
      found = await response.json();
      failures = 0;
    } catch {
      failures += 1;
    } finally {
      clearTimeout(limit);
      asking = null;
      timer = setTimeout(ask, failures > 5 ? 3000 : every);
    }
    if (found) {
      link(true);
      snapshot(found);
    } else if (failures > 1 || !navigator.onLine) {
      link(false);
    }
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : ask()));
  addEventListener("online", ask);
  timer = setTimeout(ask, every);
  return { now: ask };
}

/** Return a snapshot with the changes that a socket told. */
function changed(snapshot, { rows, values }) {
  const next = { ...snapshot, ...values };
  for (const [name, { set = [], gone = [], order }] of Object.entries(rows)) {
    const left = new Map(snapshot[name].map((row) => [row.id, row]));
    for (const id of gone) left.delete(id);
    for (const row of set) left.set(row.id, row);
    next[name] = order ? order.map((id) => left.get(id)) : [...left.values()];
  }
  return next;
}

/** Milliseconds without a word after which a socket is given up: the server gives a sign of life each ten seconds. */
const SILENT_AFTER = 25000;
const HIDDEN_AFTER = 60000;

/**
 * Hold a connection to a socket, and make it again by itself for as long as nobody ends it: later and later after
 * failures, at once when the network is back. `hear` gets each message, and says `false` if the socket is of no use;
 * `lose` is told that it is lost, after how many failures and by which code, and says `false` if that was the last one.
 * A page that `stays` holds it while nobody sees it, too.
 */
function hold(path, { hear, lose, stays = false }) {
  let socket = null;
  let ended = false;
  let failures = 0;
  let again = 0;
  let silence = 0;
  let hiding = 0;

  function open() {
    clearTimeout(again);
    if (socket || ended || (document.hidden && !stays)) return;
    const mine = new WebSocket(`${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}${path}`);
    let heard = 0;
    socket = mine;
    wait();
    mine.addEventListener("message", ({ data }) => {
      if (socket !== mine) return;
      wait();
      const message = JSON.parse(data);
      heard += 1;
      if (message.seq !== heard) return fail();
      if (message.type === "ping") return mine.send('{"type":"pong"}');
      if (hear(message) === false) return;
      failures = 0;
    });
    mine.addEventListener("close", ({ code }) => socket === mine && fail(code));
  }

  function wait() {
    clearTimeout(silence);
    silence = setTimeout(fail, SILENT_AFTER, 0);
  }

  function close() {
    clearTimeout(silence);
    const mine = socket;
    socket = null;
    mine?.close();
  }

  function end() {
    ended = true;
    clearTimeout(again);
    close();
  }

  function fail(code = 0) {
    close();
    failures += 1;
    if (lose(failures, code) === false) return end();
    if (ended) return;
    again = setTimeout(open, Math.min(5000, 500 * failures) * (0.75 + Math.random() / 2));
  }

  if (!stays) {
    document.addEventListener("visibilitychange", () => {
      clearTimeout(hiding);
      if (document.hidden) hiding = setTimeout(close, HIDDEN_AFTER);
      else open();
    });
  }
  addEventListener("online", open);
  addEventListener("offline", () => socket && fail());
  open();
  return {
    end,
    /** Send a message; `false` when there is no connection. */
    send(message) {
      if (socket?.readyState !== WebSocket.OPEN) return false;
      socket.send(JSON.stringify(message));
      return true;
    },
  };
}

/**
 * Listen at a socket: it tells a snapshot, and then what changes. Whoever cannot be let in there, or has no way for
 * sockets (some proxies), asks `url` each second.
 */
function listen(path, url, snapshot, link) {
  let shown = null;
  let opened = false;
  let asking = null;

  function ask() {
    asking ??= follow(url, snapshot, link);
    asking.now();
    return false;
  }

  const held = hold(path, {
    hear(message) {
      if (message.type === "snapshot") shown = message.live;
      else if (message.type === "changes") shown = changed(shown, message);
      else {
        held.end();
        return ask();
      }
      opened = true;
      link(true);
      snapshot(shown);
    },
    lose(failures) {
      if (!opened && failures > 1 && navigator.onLine) return ask();
      link(false);
    },
  });
  return { now: () => asking?.now() };
}

let source = null;

/** Show the snapshot that came with the page, and from then on what there is. */
function begin(show) {
  show(JSON.parse($("snapshot").textContent));
  const { socket, url } = root.dataset;
  source = socket ? listen(socket, url, show, onLink) : follow(url, show, onLink);
}
