// The phone in the page: registers at the switch over a WebSocket and speaks by WebRTC. Stands on templates/desk/phone.html
// and on JsSIP; knows nothing of the desk around it.
//
// One window at a time holds the phone. With data-start="alone" it starts by itself; with "desk" it waits until the desk
// says that it leads. What a page around it may use (load this file before the one that does):
//   document events heard:  `desk:leads` takes the phone here (from another window of this browser, too),
//                           `desk:rests` lets it go, after the call that is under way
//   document event told:    `phone:state`, detail {state, call}: off, starting, connecting, ready, lost, refused, elsewhere
//                           or problem; call is null or {who, stage, muted, held}
//   window.DialerPhone:     start(), stop(), state, connection (of the call, to read its statistics)
// The keys m (mute) and h (hold), by their places on the keyboard, work in a call where no other script has taken them
// (preventDefault): on the desk a disposition that has the letter goes first.
"use strict";

(() => {
  const card = document.getElementById("phone-card");
  if (!card) return;
  const part = (name) => document.getElementById(`phone-${name}`);
  const words = { ...part("words").dataset };
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  const TONES = { ready: "good", starting: "warn", connecting: "warn", off: "off" };
  const REFRESH = 0.75; // of a secret's life: then the next one is asked for
  const EXPIRES = 120; // seconds of a registration
  const GATHERING = 500; // milliseconds without a further candidate after which a call goes on without one

  let wanted = false; // somebody started it, and nobody stopped it
  let resting = false; // it stops once the call is over
  let returning = false; // and starts anew then
  let unlock = null; // lets other windows have it
  let ua = null;
  let access = null; // what the dialer gave to register with
  let renewAt = 0;
  let endsAt = 0;
  let registeredOnce = false;
  let refusals = 0;
  let timer = 0;
  let state = "off";
  let fault = "";
  let call = null; // with the subscriber
  let consult = null; // with whom the operator asks before he transfers
  const shown = () => consult ?? call;

  // --- what is remembered of this browser ---

  function remembered(name) {
    try {
      return localStorage.getItem(`phone-${name}`) ?? "";
    } catch {
      return ""; // storage is forbidden: the standard devices it is
    }
  }

  function remember(name, value) {
    try {
      localStorage.setItem(`phone-${name}`, value);
    } catch {
      // it holds for this page alone
    }
  }

  // --- what is shown ---

  function set(next, text = "", { again = words.again, kind = "" } = {}) {
    state = next;
    fault = kind;
    part("chip").dataset.tone = TONES[state] ?? "bad";
    const word = words[state] ?? state;
    if (part("state").textContent !== word) part("state").textContent = word;
    say(text, again);
    told();
  }

  /** Say what to do; without a label there is nothing to press. */
  function say(text, again = "") {
    if (part("problem-text").textContent !== text) part("problem-text").textContent = text;
    part("problem").hidden = !text;
    part("again").hidden = !again;
    part("again").textContent = again;
  }

  function told() {
    const entry = shown();
    const detail = {
      state,
      call: entry && { who: entry.who, stage: entry.stage, muted: entry.muted, held: entry.held },
    };
    document.dispatchEvent(new CustomEvent("phone:state", { detail }));
  }

  function show() {
    const entry = shown();
    part("call").hidden = !entry;
    if (!entry) {
      part("pad").hidden = part("transfer-form").hidden = true;
      part("keys").setAttribute("aria-expanded", "false");
      part("transfer").setAttribute("aria-expanded", "false");
      part("digits").textContent = "\u00a0";
      part("time").textContent = "";
      told();
      return;
    }
    const talks = entry.stage === "talking";
    const how = talks ? (entry.held ? words.held : entry.heldThere ? words.heldThere : entry.muted ? words.muted : words.talking)
      : entry.incoming ? words.ringing : words.calling;
    part("who").textContent = entry.who;
    if (part("call-state").textContent !== how) part("call-state").textContent = how;
    part("answer").hidden = talks || !entry.incoming || entry.answered;
    for (const name of ["mute", "hold", "keys"]) part(name).hidden = !talks;
    part("transfer").hidden = !access?.transfers || !(call && call.stage === "talking");
    part("mute").setAttribute("aria-pressed", String(entry.muted));
    part("hold").setAttribute("aria-pressed", String(entry.held));
    for (const name of ["blind", "ask"]) part(name).hidden = Boolean(consult);
    part("target").disabled = Boolean(consult);
    part("complete").hidden = !(consult && consult.stage === "talking" && call);
    part("back").hidden = !(consult && call);
    if (!talks) part("pad").hidden = true;
    tick();
    told();
  }

  function tick() {
    const entry = shown();
    if (!entry?.since) return;
    const seconds = Math.floor((performance.now() - entry.since) / 1000);
    part("time").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }
  setInterval(tick, 1000);

  // --- who holds the phone: one window of this browser ---

  function lead(takes) {
    return new Promise((resolve) => {
      const how = takes ? { steal: true } : { signal: AbortSignal.timeout(1500) };
      navigator.locks.request("dialer-phone", how, () => {
        resolve(true);
        return new Promise((release) => { unlock = release; });
      }).catch(() => {
        resolve(false);
        if (unlock) taken();
      });
    });
  }

  /** Another window has it now: what is said here is said to its end. */
  function taken() {
    unlock = null;
    goElsewhere();
  }

  function goElsewhere() {
    // What would take it back would end the call: it is offered after that.
    if (call || consult) {
      resting = true;
      return set("elsewhere", words.elsewhereLong, { again: "" });
    }
    rest();
    set("elsewhere", words.elsewhereLong, { again: words.here });
  }

  async function start({ takes = true } = {}) {
    if (wanted && state !== "elsewhere") {
      resting = false;
      return;
    }
    if (call || consult) {
      returning = true; // to start anew would end the call
      return;
    }
    if (!isSecureContext) return set("problem", words.insecure, { again: "" });
    if (!navigator.mediaDevices?.getUserMedia || !window.RTCPeerConnection || !navigator.locks) {
      return set("problem", words.unable, { again: "" });
    }
    wanted = true;
    resting = false;
    set("starting");
    if (!unlock && !(await lead(takes))) {
      wanted = false;
      return goElsewhere();
    }
    if (!wanted) return rest(); // stopped meanwhile
    await begin();
  }

  function stop() {
    returning = false;
    if (call || consult) {
      resting = true;
      return;
    }
    rest();
    set("off");
  }

  function rest() {
    wanted = resting = false;
    hangUpLine();
    closeMicrophone(kept);
    kept = null;
    unlock?.();
    unlock = null;
  }

  function hangUpLine() {
    clearTimeout(timer);
    const former = ua;
    ua = null;
    former?.stop();
  }

  function later(seconds, what) {
    clearTimeout(timer);
    timer = setTimeout(() => { if (wanted) what(); }, seconds * 1000);
  }

  /** Look at the microphone first: who cannot speak must get no calls. */
  async function begin() {
    hangUpLine();
    set("starting");
    try {
      const stream = await openMicrophone();
      const permission = await navigator.permissions?.query({ name: "microphone" }).catch(() => null);
      if (permission?.state === "granted") closeMicrophone(stream);
      else keep(stream); // the browser would ask anew at each call
      if (permission) permission.onchange = () => { if (wanted && fault === "permission") begin(); };
    } catch (error) {
      if (!wanted) return;
      const kind = faultOf(error);
      return set("problem", words[kind], { kind });
    }
    if (!wanted) return;
    await listDevices();
    await connect();
  }

  // --- the line to the switch ---

  /** Ask the dialer for a secret; false when there is none now, which is said. */
  async function ask() {
    let response;
    try {
      response = await fetch(card.dataset.secret, {
        method: "POST",
        headers: { "X-CSRFToken": part("csrf").elements.csrfmiddlewaretoken.value, Accept: "application/json" },
      });
    } catch {
      response = null;
    }
    const given = (await response?.json().catch(() => null)) ?? {};
    if (!response || (response.status >= 500 && !given.message)) {
      if (!ua) {
        set("lost", words.pageOffline);
        later(5, connect);
      }
      return false;
    }
    if (!response.ok) {
      if (call || consult) return false; // he says what he has to say first
      hangUpLine();
      set("problem", given.message ?? fill(words.stale, { code: response.status }));
      if (response.status === 429) later(Number(response.headers.get("Retry-After")) || 60, connect);
      return false;
    }
    access = given;
    renewAt = performance.now() + given.seconds * 1000 * REFRESH;
    endsAt = performance.now() + given.seconds * 1000;
    return true;
  }

  async function connect() {
    hangUpLine();
    set("connecting");
    if (!(await ask()) || !wanted) return;
    registeredOnce = false;
    const mine = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(access.address)],
      uri: `sip:${access.user}@${access.domain}`,
      password: access.secret,
      register_expires: EXPIRES,
      session_timers: false,
      user_agent: "dialer",
      connection_recovery_min_interval: 2,
      connection_recovery_max_interval: 15,
    });
    ua = mine;
    const when = (name, act) => mine.on(name, (event) => { if (ua === mine) act(event); });
    when("disconnected", lost);
    when("connected", () => set("connecting"));
    when("registered", () => {
      registeredOnce = true;
      refusals = 0;
      set("ready");
    });
    when("registrationExpiring", async () => {
      if (performance.now() >= renewAt && (await ask())) mine.set("password", access.secret);
      if (ua === mine) mine.register();
    });
    when("registrationFailed", ({ response }) => refused(mine, response));
    when("newRTCSession", ({ originator, session, request }) => { if (originator === "remote") ring(session, request); });
    mine.start();
  }

  function lost() {
    if (call || consult) set("lost", words.unreachableInCall, { again: "" });
    else set("lost", fill(words.unreachable, { address: access.address }));
  }

  async function refused(mine, response) {
    if (!response) {
      if (!mine.isConnected()) return; // “disconnected” tells
      lost();
      return later(10, () => { if (ua === mine) mine.register(); });
    }
    if (performance.now() >= endsAt) {
      if (!(await ask()) || ua !== mine) return;
      mine.set("password", access.secret);
      return mine.register();
    }
    if (registeredOnce) return goElsewhere(); // the secret was good and is not: another computer has been given one
    const seconds = Math.min(60, 5 * 2 ** refusals);
    refusals += 1;
    hangUpLine();
    set("refused", fill(words.refusedLong, { code: response.status_code, seconds }));
    later(seconds, connect);
  }

  // --- devices ---

  let kept = null; // an open microphone between calls, where the browser asks for each opening

  function faultOf(error) {
    if (["NotAllowedError", "SecurityError"].includes(error.name)) return "permission";
    return ["NotFoundError", "OverconstrainedError"].includes(error.name) ? "noDevice" : "inUse";
  }

  async function openMicrophone() {
    if (kept?.getAudioTracks()[0]?.readyState === "live") return kept.clone();
    const wish = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    const chosen = remembered("mic");
    if (chosen) {
      try {
        return await navigator.mediaDevices.getUserMedia({ audio: { ...wish, deviceId: { exact: chosen } } });
      } catch (error) {
        if (faultOf(error) !== "noDevice") throw error; // it is not here today
      }
    }
    return navigator.mediaDevices.getUserMedia({ audio: wish });
  }

  function keep(stream) {
    if (kept !== stream) closeMicrophone(kept);
    kept = stream;
  }

  function closeMicrophone(stream) {
    for (const track of stream?.getTracks() ?? []) track.stop();
  }

  async function listDevices() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    const speakers = "setSinkId" in HTMLMediaElement.prototype;
    part("speaker-field").hidden = !speakers;
    for (const [name, kind] of [["mic", "audioinput"], ["speaker", "audiooutput"]]) {
      const found = devices.filter((device) => device.kind === kind && device.deviceId && device.deviceId !== "default");
      const options = found.map((device, place) => new Option(device.label || fill(words.nameless, { place: place + 1 }), device.deviceId));
      part(name).replaceChildren(new Option(words.standard, ""), ...options);
      const chosen = remembered(name);
      part(name).value = found.some((device) => device.deviceId === chosen) ? chosen : "";
    }
    await useSpeaker();
  }

  async function useSpeaker() {
    const chosen = part("speaker").value;
    try {
      await part("audio").setSinkId?.(chosen);
      await context?.setSinkId?.(chosen);
    } catch {
      // it has just gone: the list is made anew at once
    }
  }

  navigator.mediaDevices?.addEventListener("devicechange", async () => {
    if (!wanted) return;
    if (fault === "noDevice") await begin();
    else await listDevices();
  });

  /** Let a call go on with the microphone that is chosen now. */
  async function changeMicrophone(entry) {
    const stream = await openMicrophone();
    const track = stream.getAudioTracks()[0];
    const sender = entry.session.connection?.getSenders().find((item) => item.track?.kind === "audio" || !item.track);
    const former = entry.stream;
    track.enabled = former?.getAudioTracks()[0]?.enabled ?? true;
    await sender?.replaceTrack(track);
    closeMicrophone(former);
    take(entry, stream);
  }

  function take(entry, stream) {
    entry.stream = stream;
    stream.getAudioTracks()[0].addEventListener("ended", async () => {
      if (entry.over || entry.stream !== stream) return;
      closeMicrophone(kept);
      kept = null;
      try {
        await changeMicrophone(entry);
        say(words.switched);
      } catch {
        say(words.unplugged);
      }
    });
    if (entry === shown()) measureCall();
  }

  part("mic").addEventListener("change", async () => {
    remember("mic", part("mic").value);
    if (kept) {
      closeMicrophone(kept);
      kept = null;
      await openMicrophone().then(keep, () => {});
    }
    try {
      for (const entry of [call, consult]) if (entry?.stream) await changeMicrophone(entry);
      if (testing) await test(true);
      if (state === "ready") say("");
      else if (fault) await begin();
    } catch (error) {
      say(words[faultOf(error)]);
    }
  });
  part("speaker").addEventListener("change", () => {
    remember("speaker", part("speaker").value);
    useSpeaker();
  });
  part("auto").checked = remembered("auto") !== "off";
  part("auto").addEventListener("change", () => remember("auto", part("auto").checked ? "on" : "off"));

  // --- tones and levels: the audio clock runs only while one of them is needed ---

  let context = null;
  let ringing = 0;
  const listening = new Map(); // a meter's name to what feeds it
  let measuring = 0;

  function audio() {
    if (!context) {
      context = new AudioContext();
      useSpeaker();
    }
    if (context.state === "suspended") context.resume();
    return context;
  }

  function beep(frequency, from, seconds) {
    const clock = audio();
    const [source, volume] = [clock.createOscillator(), clock.createGain()];
    const begins = clock.currentTime + from;
    source.frequency.value = frequency;
    volume.gain.setValueAtTime(0, begins);
    volume.gain.linearRampToValueAtTime(0.18, begins + 0.02);
    volume.gain.setValueAtTime(0.18, begins + seconds - 0.03);
    volume.gain.linearRampToValueAtTime(0, begins + seconds);
    source.connect(volume).connect(clock.destination);
    source.start(begins);
    source.stop(begins + seconds);
    source.onended = quiet;
  }

  function answerTone() {
    beep(660, 0, 0.12);
    beep(880, 0.14, 0.16);
  }

  function ringTone(on) {
    clearInterval(ringing);
    ringing = 0;
    if (!on) return;
    const once = () => { beep(440, 0, 0.4); beep(480, 0.5, 0.4); };
    once();
    ringing = setInterval(once, 3000);
  }

  function quiet() {
    if (!listening.size && !ringing && context?.state === "running") context.suspend();
  }

  function measure(name, stream) {
    const former = listening.get(name);
    if (former?.stream === stream) return;
    if (!stream?.getAudioTracks().length) stream = null;
    former?.source.disconnect();
    listening.delete(name);
    part(`${name}-level`).value = 0;
    if (stream) {
      const analyser = audio().createAnalyser();
      analyser.fftSize = 1024;
      const source = context.createMediaStreamSource(stream);
      source.connect(analyser);
      listening.set(name, { stream, source, analyser, heard: new Float32Array(analyser.fftSize) });
    }
    clearInterval(measuring);
    measuring = listening.size ? setInterval(readLevels, 100) : 0;
    if (!listening.size) setTimeout(quiet, 1000);
  }

  function readLevels() {
    for (const [name, { analyser, heard }] of listening) {
      analyser.getFloatTimeDomainData(heard);
      const power = Math.sqrt(heard.reduce((sum, value) => sum + value * value, 0) / heard.length);
      // 60 decibels are the whole bar
      const level = power ? Math.max(0, 100 + (20 * Math.log10(power)) / 0.6) : 0;
      const meter = part(`${name}-level`);
      meter.value = Math.round(Math.max(level, meter.value * 0.8));
    }
  }

  function measureCall() {
    const entry = shown();
    measure("mic", entry?.stage === "talking" ? entry.stream : null);
    measure("sound", entry?.stage === "talking" ? entry.sound : null);
  }

  // Browsers let no page sound before it was touched, unless it has the microphone.
  for (const name of ["pointerdown", "keydown"]) {
    document.addEventListener(name, () => { if (listening.size || ringing) context?.resume(); }, { passive: true });
  }

  let testing = null;

  async function test(on) {
    clearTimeout(testing?.timer);
    closeMicrophone(testing?.stream);
    testing = null;
    part("test").setAttribute("aria-pressed", String(on));
    part("test-note").textContent = on ? words.testing : "";
    if (!on) return measureCall();
    try {
      const stream = await openMicrophone();
      testing = { stream, timer: setTimeout(() => test(false), 10_000) };
      await listDevices();
      measure("mic", stream);
      answerTone();
    } catch (error) {
      part("test").setAttribute("aria-pressed", "false");
      part("test-note").textContent = words[faultOf(error)];
    }
  }
  part("test").addEventListener("click", () => test(!testing));

  // --- calls ---

  const rtc = () => ({ iceServers: access.ice_servers });

  function newEntry(who, incoming) {
    return {
      who, incoming, stage: "ringing", session: null, stream: null, sound: null, since: 0, over: false, answered: false,
      muted: false, held: false, wish: false, heldThere: false, mine: false, done: false, sentTo: null,
    };
  }

  function handlersOf(entry) {
    let gathering = 0;
    const talks = () => {
      if (entry.stage === "talking") return;
      entry.stage = "talking";
      entry.since = performance.now();
      measureCall();
      gauge(entry);
      show();
    };
    const holds = () => {
      const { local, remote } = entry.session.isOnHold();
      // Back from hold he is once the other side has agreed: until then nothing of his is heard.
      Object.assign(entry, { held: entry.held || local, heldThere: remote });
      show();
    };
    const mutes = () => {
      entry.muted = Boolean(entry.session.isMuted().audio);
      show();
    };
    return {
      peerconnection: ({ peerconnection }) => {
        peerconnection.addEventListener("track", ({ streams, track }) => {
          entry.sound = streams[0] ?? new MediaStream([track]);
          if (entry === shown()) hear(entry);
        });
      },
      icecandidate: ({ ready }) => {
        clearTimeout(gathering);
        gathering = setTimeout(ready, GATHERING);
      },
      accepted: talks,
      confirmed: talks,
      hold: holds,
      unhold: holds,
      muted: mutes,
      unmuted: mutes,
      ended: ({ cause }) => over(entry, cause),
      failed: ({ cause }) => over(entry, cause),
    };
  }

  function hear(entry) {
    const player = part("audio");
    if (player.srcObject !== entry.sound) player.srcObject = entry.sound;
    player.play().catch(() => {});
    measureCall();
  }

  function ring(session, request) {
    if (call || resting) {
      session.terminate({ status_code: 486 });
      return;
    }
    const from = session.remote_identity;
    const entry = newEntry(from.display_name || from.uri.user || request.from.uri.host, true);
    entry.session = session;
    call = entry;
    test(false);
    for (const [name, act] of Object.entries(handlersOf(entry))) session.on(name, act);
    show();
    if (part("auto").checked) answer();
    else ringTone(true);
  }

  async function answer() {
    const entry = call;
    if (!entry?.incoming || entry.answered || entry.over) return;
    entry.answered = true;
    ringTone(false);
    show();
    answerTone();
    let stream;
    try {
      stream = await openMicrophone();
    } catch (error) {
      const kind = faultOf(error);
      if (!entry.over) entry.session.terminate({ status_code: 480 });
      hangUpLine(); // no further call before he can speak
      return set("problem", words[kind], { kind });
    }
    if (entry.over) return closeMicrophone(stream);
    take(entry, stream);
    entry.session.answer({ mediaStream: stream, mediaConstraints: { audio: true, video: false }, pcConfig: rtc() });
  }

  function over(entry, cause) {
    if (entry.over) return;
    entry.over = true;
    entry.ended = cause;
    closeMicrophone(entry.stream);
    ringTone(false);
    const asked = entry === consult;
    if (asked) consult = null;
    else {
      const other = consult;
      const sentOn = other && entry.sentTo === other;
      [call, consult] = [sentOn ? null : other, null]; // he goes on with whom he asked
      if (sentOn) leave(other); // or the two have one another now
    }
    if (asked && call && !entry.done) {
      if (entry.stage !== "talking" && !entry.mine) {
        part("transfer-note").textContent = fill(words.askFailed, { who: entry.who, cause });
      } else part("transfer-note").textContent = "";
      setHeld(call, false);
    }
    const left = shown();
    if (left) hear(left);
    else {
      part("audio").srcObject = null;
      part("quality").hidden = true;
      part("transfer-note").textContent = "";
      part("target").value = "";
      if (state === "ready") say("");
      if (state === "lost") lost();
      measureCall();
    }
    show();
    if (!left && resting) {
      if (state === "elsewhere") goElsewhere();
      else {
        rest();
        set("off");
      }
      if (returning) {
        returning = false;
        start();
      }
    }
  }

  /** End a call that goes on without us. */
  function leave(entry) {
    if (entry.over) return;
    entry.done = true;
    entry.session.terminate();
  }

  part("answer").addEventListener("click", answer);
  part("hang-up").addEventListener("click", () => {
    const entry = shown();
    if (!entry) return;
    entry.mine = true;
    if (entry.incoming && entry.stage !== "talking") entry.session.terminate({ status_code: 603 });
    else entry.session.terminate();
  });

  function mute() {
    const entry = shown();
    if (entry?.stage !== "talking") return;
    if (entry.muted) entry.session.unmute({ audio: true });
    else entry.session.mute({ audio: true });
  }

  /** Put a call on hold or take it back, after what is being agreed upon with the other side right now. */
  function setHeld(entry, wish, then = () => {}) {
    entry.wish = wish;
    const done = () => {
      if (entry.over) return;
      entry.held = wish;
      show();
      then();
    };
    const settle = () => {
      if (entry.over || entry.wish !== wish) return;
      const { local } = entry.session.isOnHold();
      if (local === wish) done();
      else if (!(wish ? entry.session.hold({}, done) : entry.session.unhold({}, done))) setTimeout(settle, 100);
    };
    settle();
  }

  function hold() {
    const entry = shown();
    if (entry?.stage === "talking") setHeld(entry, !entry.held);
  }

  part("mute").addEventListener("click", mute);
  part("hold").addEventListener("click", hold);

  function toggle(button, panel) {
    const opens = part(panel).hidden;
    part(panel).hidden = !opens;
    part(button).setAttribute("aria-expanded", String(opens));
    return opens;
  }

  part("keys").addEventListener("click", () => toggle("keys", "pad"));

  function press(key) {
    const entry = shown();
    if (entry?.stage !== "talking") return;
    // RFC 4733: the browser puts it into the sound's own stream.
    entry.session.sendDTMF(key, { transportType: "RFC2833", duration: 120, interToneGap: 80 });
    part("digits").textContent = part("digits").textContent.trim() + key;
  }

  part("pad").addEventListener("click", (event) => {
    const key = event.target.closest("[data-key]")?.dataset.key;
    if (key) press(key);
  });
  part("pad").addEventListener("keydown", (event) => {
    if (!/^[0-9*#]$/.test(event.key) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    press(event.key);
  });

  function onKey(event) {
    if (event.defaultPrevented || event.repeat || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
    // The key's place, whatever alphabet it writes now.
    const act = { KeyM: mute, KeyH: hold }[event.code];
    if (!act || shown()?.stage !== "talking") return;
    event.preventDefault();
    act();
  }
  // Last of all: the page around it has listened by then.
  addEventListener("load", () => document.addEventListener("keydown", onKey));

  // --- transfers ---

  const addressOf = (target) => `sip:${encodeURIComponent(target)}@${access.domain}`;

  function target() {
    const typed = part("target").value.replace(/[\s()]/g, "");
    if (/^[A-Za-z0-9*#+_.-]{1,32}$/.test(typed)) return typed;
    part("transfer-note").textContent = words.noTarget;
    part("target").focus();
    return "";
  }

  function refer(to, asked = null) {
    const entry = call;
    entry.sentTo = asked;
    part("transfer-note").textContent = words.transferring;
    const failed = (cause) => {
      entry.sentTo = null;
      if (!entry.over) part("transfer-note").textContent = fill(words.transferFailed, { cause });
    };
    entry.session.refer(to, {
      ...(asked && { replaces: asked.session }),
      eventHandlers: {
        requestFailed: ({ response, cause }) => failed(response ? `${response.status_code} ${response.reason_phrase}` : cause),
        failed: ({ status_line: line }) => failed(line ? `${line.status_code} ${line.reason_phrase}` : ""),
        accepted: () => leave(entry),
      },
    });
  }

  part("transfer").addEventListener("click", () => {
    if (toggle("transfer", "transfer-form")) part("target").focus();
  });
  part("transfer-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const to = !consult && call && target();
    if (to) refer(addressOf(to));
  });
  part("ask").addEventListener("click", () => {
    const to = !consult && call && target();
    if (!to) return;
    const main = call;
    setHeld(main, true, async () => {
      let stream;
      try {
        stream = await openMicrophone();
      } catch (error) {
        part("transfer-note").textContent = words[faultOf(error)];
        return;
      }
      if (main.over || call !== main || consult) return closeMicrophone(stream);
      const entry = newEntry(to, false);
      consult = entry;
      part("transfer-note").textContent = fill(words.asking, { who: to });
      entry.session = ua.call(addressOf(to), {
        mediaStream: stream, mediaConstraints: { audio: true, video: false }, pcConfig: rtc(), eventHandlers: handlersOf(entry),
      });
      take(entry, stream);
      show();
    });
  });
  part("complete").addEventListener("click", () => {
    if (call && consult?.stage === "talking") refer(consult.session.remote_identity.uri, consult);
  });
  part("back").addEventListener("click", () => {
    if (!consult) return;
    consult.mine = true;
    consult.session.terminate();
  });

  // --- how good the network is ---

  function gauge(entry) {
    let before = null;
    let silent = 0;
    const reading = setInterval(async () => {
      if (entry.over) return clearInterval(reading);
      const stats = await entry.session.connection?.getStats().catch(() => null);
      if (!stats || entry.over || entry !== shown()) return;
      let [inbound, there, pair] = [null, null, null];
      for (const item of stats.values()) {
        if (item.type === "inbound-rtp" && item.kind === "audio") inbound = item;
        if (item.type === "remote-inbound-rtp" && item.kind === "audio") there = item;
        if (item.type === "candidate-pair" && item.nominated) pair = item;
      }
      const seen = { got: inbound?.packetsReceived ?? 0, lost: inbound?.packetsLost ?? 0 };
      const former = before ?? seen;
      before = seen;
      if (former === seen) return;
      const [got, lost] = [seen.got - former.got, Math.max(0, seen.lost - former.lost)];
      silent = got || entry.held || entry.heldThere ? 0 : silent + 1;
      const share = Math.max(lost / (got + lost || 1), there?.fractionLost ?? 0);
      const trip = there?.roundTripTime ?? pair?.currentRoundTripTime ?? 0;
      const jitter = Math.max(inbound?.jitter ?? 0, there?.jitter ?? 0);
      // What people notice: a fifth of a second of waiting, one word in a hundred lost.
      const poor = share >= 0.05 || trip >= 0.4 || jitter >= 0.06;
      const fair = share >= 0.01 || trip >= 0.2 || jitter >= 0.03;
      const [word, tone] = silent >= 3 ? [words.silent, "bad"] : poor ? [words.poor, "bad"] : fair ? [words.fair, "warn"] : [words.good, "good"];
      part("quality").hidden = false;
      part("quality").dataset.tone = tone;
      part("quality").title = fill(words.figures, {
        trip: Math.round(trip * 1000), loss: (share * 100).toFixed(1), jitter: Math.round(jitter * 1000),
      });
      if (part("quality-word").textContent !== word) part("quality-word").textContent = word;
    }, 2000);
  }

  // --- the page around it ---

  part("again").addEventListener("click", () => {
    if (state === "elsewhere" || !wanted) {
      wanted = false;
      start({ takes: true });
    } else begin();
  });
  document.addEventListener("desk:leads", () => start());
  document.addEventListener("desk:rests", stop);
  addEventListener("beforeunload", (event) => {
    if (!call && !consult) return;
    event.preventDefault();
    event.returnValue = words.leaving;
  });
  addEventListener("pagehide", () => ua?.stop());

  window.DialerPhone = {
    start,
    stop,
    get state() { return state; },
    get connection() { return shown()?.session?.connection ?? null; },
  };
  set("off");
  if (card.dataset.start === "alone") start({ takes: false });
})();
