// The AI SDK: the core behind `useChat` (`AbstractChat`) with its own transport, in whichever major version is installed beside.

import { AbstractChat, DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses } from "ai";
import { holds, play, same, until } from "./shop.mjs";

// The state that React would keep.
class State {
  messages;
  status = "ready";
  error;
  constructor(messages) { this.messages = messages; }
  pushMessage = (message) => { this.messages = [...this.messages, message]; };
  popMessage = () => { this.messages = this.messages.slice(0, -1); };
  replaceMessage = (index, message) => { this.messages = this.messages.map((m, i) => (i === index ? structuredClone(message) : m)); };
  snapshot = (thing) => structuredClone(thing);
}

class Chat extends AbstractChat {
  failures = [];
  constructor(shop, { id, messages = [] } = {}) {
    const failures = [];
    super({
      id,
      state: new State(messages),
      transport: new DefaultChatTransport({ api: `${shop.url}/agent/chat` }),
      sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
      onError: (error) => failures.push(error),
    });
    this.failures = failures;
  }

  get last() { return this.messages.at(-1); }
  text(message = this.last) { return message.parts.filter((p) => p.type === "text").map((p) => p.text).join("\n"); }
  tools(message = this.last) { return message.parts.filter((p) => p.type === "dynamic-tool"); }
  question(message = this.last) { return this.tools(message).find((p) => p.state === "approval-requested"); }

  async say(text) {
    await this.sendMessage({ text });
    this.fine();
  }

  fine() {
    if (this.failures.length) throw this.failures[0];
    same(this.status, "ready", "the chat's status");
  }

  // The answer goes out by itself once every question has one.
  async answer(part, approved, reason) {
    await this.addToolApprovalResponse({ id: part.approval.id, approved, reason });
    await until("the answer's outcome", () => this.status === "ready" && this.tools().every((p) => p.state.startsWith("output-")));
    this.fine();
  }
}

const bill = (name) => `Create a bill for ${name}: 1 shampoo`;

await play({
  "a read is answered": async (shop) => {
    const chat = new Chat(shop);
    await chat.say("What's in the beauty category?");
    holds(chat.text().includes("Shampoo"), chat.text());
    same(chat.tools()[0].state, "output-available", "the call");
    same(chat.last.metadata.status, "success", "the status");
  },
  "approve": async (shop) => {
    const before = await shop.bills();
    const chat = new Chat(shop);
    await chat.say(bill("Ali"));
    same(await shop.bills(), before, "bills before the answer");
    await chat.answer(chat.question(), true);
    same(chat.messages.length, 2, "the answer is part of the message that asked");
    holds(/INV-\d+/.test(chat.text()), chat.text());
    same(chat.tools()[0].state, "output-available", "the call");
    same(chat.last.parts.find((p) => p.type === "data-confirmation").data.status, "approved", "the question");
    same(await shop.bills(), before + 1, "bills");
  },
  "deny with a reason": async (shop) => {
    const before = await shop.bills();
    const chat = new Chat(shop);
    await chat.say(bill("Ali"));
    const run = chat.last.metadata.runId;
    await chat.answer(chat.question(), false, "too dear");
    same(chat.tools()[0].state, "output-denied", "the call");
    same(await shop.bills(), before, "bills");
    const { events } = await shop.run(run);
    same(events.find((e) => e.event === "tool_returned").data.result.reason, "too dear", "the recorded reason");
  },
  "yes in words is a second message": async (shop) => {
    const before = await shop.bills();
    const chat = new Chat(shop);
    await chat.say(bill("Aline"));
    await chat.say("yes");
    same(chat.messages.length, 4, "messages");
    same(chat.tools()[0].state, "output-available", "the call, shown again before its result");
    same(await shop.bills(), before + 1, "bills");
    await chat.say("How much shampoo is left?");
    holds(chat.text().includes("Shampoo"), chat.text());
  },
  "a question outlives a reload and a kill -9": async (shop) => {
    const before = await shop.bills();
    const first = new Chat(shop);
    await first.say(bill("Ali"));
    await shop.agent.end("SIGKILL");
    await shop.agent.start();
    const again = new Chat(shop, { id: first.id, messages: structuredClone(first.messages) });
    await again.resumeStream();
    again.fine();
    same(again.messages.length, 2, "nothing is active, so nothing is replayed");
    await again.answer(again.question(), true);
    same(again.messages.length, 2, "one message");
    same(await shop.bills(), before + 1, "bills");
  },
  "a reload in the middle attaches to the run": async (shop) => {
    const before = parseFloat(await shop.stock("Flour"));
    const first = new Chat(shop);
    await shop.hold();
    const sent = first.sendMessage({ text: "Increase flour by 1kg" });
    await until("the call is shown", () => first.last?.role === "assistant" && first.tools().length);
    const again = new Chat(shop, { id: first.id, messages: structuredClone(first.messages.slice(0, 1)) });
    const resumed = again.resumeStream();
    await until("the call is shown again", () => again.last?.role === "assistant" && again.tools().length);
    shop.goOn();
    await Promise.all([sent, resumed]);
    first.fine();
    again.fine();
    same(again.last.id, first.last.id, "the message");
    same(again.text(), first.text(), "the answer");
    same(parseFloat(await shop.stock("Flour")), before + 1, "done once");
  },
  "a reload after a yes in words waits for a message of its own": async (shop) => {
    const before = await shop.bills();
    const first = new Chat(shop);
    await first.say(bill("Ali"));
    await shop.hold();
    const sent = first.sendMessage({ text: "yes" });
    await until("the answer is taken", () => first.last?.role === "assistant" && first.messages.length === 4);
    const again = new Chat(shop, { id: first.id, messages: structuredClone(first.messages.slice(0, 3)) });
    const resumed = again.resumeStream();
    await until("it is attached", () => again.last?.role === "assistant" && again.messages.length === 4);
    shop.goOn();
    await Promise.all([sent, resumed]);
    first.fine();
    again.fine();
    same(again.last.id, first.last.id, "the message");
    same(again.tools()[0].state, "output-available", "the call, shown again before its result");
    same(await shop.bills(), before + 1, "bills");
  },
  "a refusal is an error with its sentence": async (shop) => {
    const chat = new Chat(shop);
    await chat.sendMessage({ text: "x".repeat(2001) });
    same(chat.status, "error", "the status");
    holds(chat.failures[0].message.includes("2,000 characters"), chat.failures[0].message);
  },
});
