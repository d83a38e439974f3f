// The chat page. Reads the AI SDK UI message stream of the agent; no framework, no build step.
// What people and tools write is only ever set as text, never as HTML.

// Each person who logs in has conversations of their own, and leaves none behind.
const PERSON = document.body.dataset.person;
const ROLE = document.body.dataset.role;
const STORE = `countersign.chat.v1${PERSON ? `.${PERSON}` : ""}`;
const ENTRIES_MAX = 60; // kept over a reload
const STORED_CHARACTERS_MAX = 300_000;
const SILENCE_MS_MAX = 45_000; // three heartbeats: the connection is dead
const RETRY_AFTER_MS = [500, 1_000, 2_000, 4_000, 8_000];
const LOOK_EVERY_MS = 5_000; // for an answer that somebody gave elsewhere
const LOOK_FOR_OTHERS_MS = 15_000;
const LOOKED_AT_MAX = 3; // conversations with more open questions learn of the older ones on the next look
const LOST = "Unable to reach the system. Please try again.";
const TRYING = "Unable to reach the system. Trying again";

const at = (id) => document.getElementById(id);
const log = at("log"), box = at("message"), limit = at("limit"), main = document.querySelector("main");
const messageMax = Number(limit.dataset.max);

let session = { id: newId("web"), entries: [] };
let clockSkewMs = 0; // the server's clock minus ours

// Entries: {said, key} is what the person said; {parts, run, id, cursor, done, said, key} answers it. Parts are
// {kind: "text" | "tool" | "question" | "notice" | "problem", ...}. Nodes are kept apart, so that entries can be stored.
const nodes = new WeakMap();
// What is reading the turn of an entry: one at a time, or its text would be written twice.
const readings = new WeakMap();

// ---- talking to the agent

function ask(text) {
  // The message may answer an open question, and then its stream tells the same as theirs.
  for (const entry of session.entries) if (!entry.working) leave(entry);
  const entry = { said: text, key: newId("key"), parts: [], done: false };
  session.entries.push(entry);
  show(entry);
  scrollDown();
  return work(entry, () => post(entry));
}

const post = (entry) => request("/agent/chat", {
  method: "POST",
  body: JSON.stringify({ session_id: session.id, message: entry.said }),
  headers: { "Idempotency-Key": entry.key },
});

const attach = (entry) => request(`/agent/chat/${encodeURIComponent(session.id)}/stream`, { headers: { "Last-Event-ID": entry.cursor } });

function request(path, { method = "GET", body, headers = {} }) {
  const control = new AbortController();
  const init = { method, body, signal: control.signal, cache: "no-store" };
  init.headers = { Accept: "text/event-stream", "X-Countersign-Channel": "web", ...headers };
  if (body) init.headers["Content-Type"] = "application/json";
  return { response: fetch(path, init), control };
}

// Reads a turn to its end. A lost connection is taken up again: where it stopped, or by the same request, which the key makes safe.
// `quietly`: only a look whether there is something new; nothing shows until there is.
async function work(entry, begin, quietly = false) {
  const mine = session, reading = { heard: !quietly };
  const current = () => mine === session && readings.get(entry) === reading;
  leave(entry);
  readings.set(entry, reading);
  if (!quietly) begun(entry);
  let outcome = await read(entry, begin(), reading);
  for (const pause of RETRY_AFTER_MS) {
    if (outcome !== "lost" || !reading.heard || !current()) break;
    entry.trying = true;
    update(entry);
    await new Promise((wake) => setTimeout(wake, pause));
    if (current()) outcome = await read(entry, entry.cursor ? attach(entry) : begin(), reading);
  }
  if (!current()) return "left";
  readings.delete(entry);
  if (!reading.heard) return outcome;
  entry.working = entry.trying = false;
  if (outcome === "lost") problem(entry, LOST, true);
  else entry.done = true;
  update(entry);
  save();
  announce(entry);
  return outcome;
}

function begun(entry) {
  entry.done = false;
  entry.working = true;
  update(entry);
}

function leave(entry) {
  readings.get(entry)?.control?.abort();
  readings.delete(entry);
}

async function read(entry, { response, control }, reading) {
  reading.control = control;
  let watch;
  const alive = () => { clearTimeout(watch); watch = setTimeout(() => control.abort(), SILENCE_MS_MAX); };
  const left = () => readings.get(entry) !== reading;
  try {
    alive();
    const answer = await response;
    if (left()) return "left";
    noteClock(answer);
    entry.trying = false;
    if (answer.status === 204) return "over";
    if (!answer.ok) return reading.heard ? await refused(entry, answer) : "refused";
    let ended = false;
    for await (const { id, data } of events(answer.body, alive)) {
      if (left()) return "left";
      if (!reading.heard) { reading.heard = true; begun(entry); }
      if (data === "[DONE]") ended = true;
      else apply(entry, JSON.parse(data));
      if (id) entry.cursor = id;
      update(entry);
      saveSoon();
    }
    return ended ? "over" : "lost";
  } catch (error) {
    if (!left()) console.warn("stream", error);
    return "lost";
  } finally {
    clearTimeout(watch);
    control.abort();
  }
}

async function* events(body, alive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", id = "", data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith("id: ")) id = line.slice(4);
        else if (line.startsWith("data: ")) data.push(line.slice(6));
        else if (line === "") {
          if (data.length) yield { id, data: data.join("\n") };
          id = ""; data = [];
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function refused(entry, answer) {
  const told = await answer.json().catch(() => null);
  if (answer.status === 401) location.assign("/login"); // the log-in has ended; what was said is kept here
  const again = answer.status >= 500 || answer.status === 429 || told?.code === "session_busy";
  problem(entry, told?.detail ?? LOST, again);
  return told?.code ?? "refused";
}

// ---- what a frame changes

function apply(entry, frame) {
  const call = () => part(entry, "tool", frame.toolCallId);
  switch (frame.type) {
    case "start":
      entry.id = frame.messageId;
      entry.run = frame.messageMetadata.runId;
      entry.parts = entry.parts.filter((p) => p.kind !== "problem");
      break;
    case "text-start": Object.assign(part(entry, "text", frame.id), { text: "" }); break;
    case "text-delta": part(entry, "text", frame.id).text += frame.delta; break;
    case "tool-input-start": Object.assign(call(), { name: frame.toolName, title: frame.title ?? frame.toolName, state: "running" }); break;
    case "tool-input-available": Object.assign(call(), { input: frame.input }); break;
    case "tool-approval-request": call().state = "asking"; break;
    case "tool-output-available": Object.assign(call(), { state: "done", output: frame.output, result: frame.output?.summary ?? "" }); break;
    case "tool-output-error": Object.assign(call(), { state: "failed", result: frame.errorText }); break;
    case "tool-output-denied": Object.assign(call(), { state: "denied", result: "" }); break;
    case "data-confirmation":
      if (frame.data.status === "pending") bringDown(entry, frame.id);
      Object.assign(part(entry, "question", frame.id), { asked: frame.data, told: "" });
      break;
    case "data-text-discarded": part(entry, "text", frame.data.textId).text = ""; break;
    case "data-fallback": part(entry, "notice", "fallback").text = frame.data.reason; break;
    case "abort": part(entry, "notice", "abort").text = `Stopped. ${frame.reason ?? ""}`; break;
    case "error": problem(entry, frame.errorText, true, true); break;
    default: // steps, text-end, finish: nothing to show
  }
}

// The part of that kind and id. Calls and questions stay where they were first shown, also when a later message goes on with them.
function part(entry, kind, id) {
  const elsewhere = kind === "question" || kind === "tool"
    ? session.entries.find((e) => e !== entry && e.parts.some((p) => p.kind === kind && p.id === id && (kind === "question" || e.run === entry.run)))
    : undefined;
  const home = elsewhere ?? entry;
  let found = home.parts.find((p) => p.kind === kind && p.id === id);
  if (!found) { found = { kind, id }; home.parts.push(found); }
  if (elsewhere) queueMicrotask(() => update(elsewhere));
  return found;
}

// A question that is asked again stands under the message that made it so, not where it has scrolled away.
function bringDown(entry, id) {
  const before = session.entries.find((e) => e !== entry && e.parts.some((p) => p.kind === "question" && p.id === id));
  if (!before) return;
  const question = before.parts.find((p) => p.kind === "question" && p.id === id);
  before.parts = before.parts.filter((p) => p !== question);
  entry.parts.push(question);
  nodes.delete(question); // it is drawn anew, in its new place
  update(before);
}

// `anew`: the run itself failed, so sending again is a new request; else the same request is sent again.
function problem(entry, text, again, anew = false) {
  Object.assign(part(entry, "problem", "problem"), { text, again, anew });
}

async function decide(question, entry, decision) {
  if (question.busy) return;
  Object.assign(question, { busy: true, told: "" });
  update(entry);
  box.focus();
  const seen = entry.cursor;
  entry.cursor = undefined; // until the resumed turn speaks, a lost answer is given again, which is harmless
  const begin = () => request(`/agent/approvals/${question.id}`, { method: "POST", body: JSON.stringify({ decision }) });
  const outcome = await work(entry, begin);
  question.busy = false;
  if (outcome === "left") return;
  entry.cursor ??= seen;
  entry.done = true;
  if (outcome !== "over") {
    // The answer was not taken: say so at the question, not as a failure of the message.
    const told = entry.parts.find((p) => p.kind === "problem");
    entry.parts = entry.parts.filter((p) => p !== told);
    question.told = told?.text ?? "";
    if (outcome === "expired" || outcome === "conflict") {
      question.asked.status = outcome === "expired" ? "expired" : "answered";
      if (seen) await work(entry, () => attach(entry)); // what became of it
    }
  }
  update(entry);
  save();
}

// ---- drawing

const make = (tag, name, text) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
};
const button = (name, text, act) => {
  const node = make("button", name, text);
  node.type = "button";
  node.addEventListener("click", act);
  return node;
};
const set = (node, text) => { if (node.textContent !== text) node.textContent = text; };

function show(entry) {
  at("welcome").hidden = true;
  const said = make("p", "said"), answer = make("article", "answer");
  said.append(make("span", "hidden", "You said: "), entry.said);
  answer.setAttribute("aria-label", "Answer");
  log.append(said, answer);
  nodes.set(entry, { answer, working: make("p", "working", "Working") });
  update(entry);
}

function update(entry) {
  const held = nodes.get(entry);
  if (!held?.answer.isConnected) return;
  const stick = main.scrollHeight - main.scrollTop - main.clientHeight < 80;
  for (const part of entry.parts) {
    if (!nodes.has(part)) { nodes.set(part, draw[part.kind](part, entry)); held.answer.append(nodes.get(part).node); }
    nodes.get(part).update();
  }
  for (const node of [...held.answer.children]) {
    if (node !== held.working && !entry.parts.some((p) => nodes.get(p).node === node)) node.remove();
  }
  set(held.working, entry.trying ? TRYING : "Working");
  if (entry.working) held.answer.append(held.working); else held.working.remove();
  held.answer.setAttribute("aria-busy", String(Boolean(entry.working)));
  if (stick) scrollDown();
}

const STATES = { running: "working", asking: "needs your yes", done: "done", failed: "not done", denied: "not done: denied", lapsed: "not done" };

const draw = {
  text(part, entry) {
    const node = make("p", "text");
    return { node, update() {
      set(node, part.text);
      // A text that was taken back is not shown; a question is shown once, in its own card.
      node.hidden = part.text === "" || entry.parts.some((p) => p.kind === "question" && p.asked.summary === part.text);
    } };
  },
  notice(part) {
    const node = make("p", "notice");
    return { node, update: () => set(node, part.text) };
  },
  tool(part, entry) {
    const node = make("details", "tool"), summary = make("summary");
    const title = make("span", "title"), state = make("span", "state"), result = make("span", "result");
    const input = make("pre"), outputTitle = make("h3", "", "Result"), output = make("pre");
    summary.append(title, state, result);
    node.append(summary, make("h3", "", "Arguments"), input, outputTitle, output);
    const pretty = (value) => JSON.stringify(value, null, 2) ?? "";
    return { node, update() {
      node.dataset.state = part.state;
      set(title, part.title ?? part.name ?? "");
      title.title = part.name ?? "";
      set(state, STATES[part.state] ?? "");
      set(result, String(part.result ?? ""));
      // Said once: by the answer, where it repeats the tool's own sentence.
      result.hidden = session.entries.some((e) => e.run === entry.run && e.parts.some((p) => p.kind === "text" && p.text === part.result));
      set(input, pretty(part.input));
      set(output, pretty(part.output));
      outputTitle.hidden = output.hidden = part.output === undefined;
    } };
  },
  question(part, entry) {
    const node = make("section", "question"), status = make("p", "status"), buttons = make("div", "buttons");
    node.setAttribute("aria-label", "Question");
    const yes = button("yes", "Approve", () => decide(part, entry, "approve"));
    const no = button("no", "Deny", () => decide(part, entry, "deny"));
    buttons.append(yes, no);
    const sentence = make("p", "", part.asked.summary);
    sentence.id = `question-${part.id}`;
    for (const choice of [yes, no]) choice.setAttribute("aria-describedby", sentence.id);
    node.append(sentence, status, buttons);
    return { node, update() {
      lapse(part, entry);
      const open = part.asked.status === "pending";
      node.dataset.open = String(open);
      buttons.hidden = !open || !mayAnswer(part);
      yes.disabled = no.disabled = Boolean(part.busy);
      set(sentence, part.asked.summary);
      set(status, [open ? waiting(part) : closed(part), part.told].filter(Boolean).join(" "));
      status.classList.toggle("bad", Boolean(part.told));
    } };
  },
  problem(part, entry) {
    const node = make("div", "problem"), text = make("p");
    node.setAttribute("role", "alert");
    const again = button("quiet", "Try again", () => {
      entry.parts = entry.parts.filter((p) => p !== part);
      if (part.anew) { update(entry); ask(entry.said); } else work(entry, () => post(entry));
      box.focus();
    });
    node.append(text, again);
    return { node, update() { set(text, part.text); again.hidden = !part.again; } };
  },
};

function lapse(question, entry) {
  if (question.asked.status !== "pending" || question.busy || remainingMs(question) > 0) return;
  question.asked.status = "expired";
  const asks = (p) => p.kind === "tool" && p.id === question.asked.toolCallId && p.state === "asking";
  for (const e of session.entries) {
    const call = e.run === entry.run && e.parts.find(asks);
    if (call) { call.state = "lapsed"; nodes.get(call)?.update(); }
  }
}
// A conversation's own questions are the person's to answer, unless they are for somebody else.
const mayAnswer = (question) => ({ staff: ROLE !== "customer", owner: ROLE === "owner" })[question.asked.approver] ?? true;
const remainingMs = (question) => Date.parse(question.asked.expiresAt) - (Date.now() + clockSkewMs);

function waiting(question) {
  if (question.busy) return "Sending your answer.";
  const s = Math.max(0, Math.ceil(remainingMs(question) / 1000));
  const who = { self: "", staff: "Staff or the owner has to answer. ", owner: "The owner has to answer. " }[question.asked.approver] ?? "";
  return `${who}${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")} left to answer.`;
}

function closed(question) {
  const by = question.asked.decidedBy ? ` by ${question.asked.decidedBy}` : "";
  return {
    approved: `Approved${by}.`, dispatched: `Approved${by}.`, done: `Approved${by}.`,
    denied: `Denied${by}. Nothing was done.`,
    expired: question.told ? "" : "Nobody answered in time. Nothing was done.",
    superseded: "The request was changed. Nothing was done.",
    failed: `Approved${by}, but it could not be done.`,
    unknown: "Approved, but no answer came back. Staff will look into it.",
  }[question.asked.status] ?? "";
}

// Whole sentences for a screen reader, once they stand.
function announce(entry) {
  const spoken = entry.parts.map((p) => (p.kind === "text" ? p.text : p.kind === "question" && p.asked.status === "pending" ? p.asked.summary : ""));
  set(at("announcer"), spoken.filter(Boolean).join(" "));
}

const scrollDown = () => { main.scrollTop = main.scrollHeight; };

// ---- keeping the conversation over a reload

let saving;
const saveSoon = () => { saving ??= setTimeout(save, 300); };

function save() {
  clearTimeout(saving);
  saving = undefined;
  session.entries = session.entries.slice(-ENTRIES_MAX);
  let kept = session.entries, text;
  do {
    text = JSON.stringify({ id: session.id, entries: kept });
    kept = kept.slice(1);
  } while (text.length > STORED_CHARACTERS_MAX && kept.length);
  // Without storage the conversation lasts as long as the page.
  try { localStorage.setItem(STORE, text); } catch (error) { console.warn("not kept", error); }
}

function restore() {
  try {
    const kept = JSON.parse(localStorage.getItem(STORE));
    if (!kept) return;
    session = kept;
    for (const entry of session.entries) {
      entry.working = entry.trying = false;
      for (const p of entry.parts) p.busy = false;
      show(entry);
    }
  } catch (error) {
    console.warn("not restored", error);
    return startOver();
  }
  for (const entry of session.entries) {
    if (!entry.done) work(entry, entry.cursor ? () => attach(entry) : () => post(entry));
  }
  catchUp();
  scrollDown();
}

// An open question may have been answered elsewhere.
function catchUp() {
  if (session.entries.some((entry) => entry.working)) return;
  const asking = session.entries.filter((e) => e.done && e.cursor && !readings.has(e) && e.parts.some((p) => p.kind === "question" && p.asked.status === "pending"));
  for (const entry of asking.slice(-LOOKED_AT_MAX)) work(entry, () => attach(entry), true);
}

// What was asked in conversations of others and is this person's to answer. It is answered in words, after it was shown.
async function lookForOthers() {
  if (document.hidden || ROLE === "customer") return;
  const answer = await fetch("/agent/approvals?status=pending&limit=50", { cache: "no-store" }).catch(() => null);
  if (!answer?.ok) return;
  const { approvals } = await answer.json();
  const waiting = approvals.filter((a) => a.may_answer && a.approver !== "self" && a.session_id !== session.id).length;
  at("others").hidden = !waiting;
  set(at("others"), waiting ? `${waiting === 1 ? "One question waits" : `${waiting} questions wait`} for your answer. Say "what is waiting?"` : "");
}

function startOver() {
  session.entries.forEach(leave);
  session = { id: newId("web"), entries: [] };
  log.replaceChildren();
  at("welcome").hidden = false;
  save();
  box.focus();
}

function newId(kind) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `${kind}-${Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("")}`;
}

function noteClock(answer) {
  const theirs = Date.parse(answer.headers.get("date") ?? "");
  if (!Number.isNaN(theirs) && Math.abs(theirs - Date.now()) > 2_000) clockSkewMs = theirs - Date.now();
}

// ---- the message box

function measure() {
  const over = [...box.value.trim()].length - messageMax;
  limit.classList.toggle("over", over > 0);
  set(limit, over > 0 ? `${over} ${over === 1 ? "character" : "characters"} too long. Shorten it, or send it in parts.` : over > -200 ? `${-over} ${over === -1 ? "character" : "characters"} left.` : "");
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + 2}px`;
  return over <= 0;
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = box.value.trim();
  if (!text) return;
  if (!measure()) return set(at("announcer"), limit.textContent);
  box.value = "";
  measure();
  ask(text);
});
box.addEventListener("input", measure);
box.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); at("form").requestSubmit(); }
});
for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => { ask(example.textContent); box.focus(); });
}
at("new").addEventListener("click", startOver);
at("leave")?.addEventListener("submit", () => {
  session.entries.forEach(leave);
  removeEventListener("pagehide", save);
  clearTimeout(saving);
  try { localStorage.removeItem(STORE); } catch (error) { console.warn("not removed", error); }
});
addEventListener("pagehide", save);
document.addEventListener("visibilitychange", () => { if (!document.hidden) catchUp(); });
setInterval(() => { if (!document.hidden) catchUp(); }, LOOK_EVERY_MS);
lookForOthers();
setInterval(lookForOthers, LOOK_FOR_OTHERS_MS);
setInterval(() => {
  for (const entry of session.entries) {
    for (const p of entry.parts) if (p.kind === "question" && p.asked.status === "pending") nodes.get(p)?.update();
  }
}, 1_000);

at("welcome").hidden = false;
restore();
if (matchMedia("(hover: hover)").matches) box.focus(); // on a phone this would open the keyboard
