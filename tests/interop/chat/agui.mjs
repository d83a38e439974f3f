// AG-UI's own client: `HttpAgent` of @ag-ui/client, which ends a run on whatever breaks the protocol's rules and warns of what it does
// not know.

import { HttpAgent, buildResumeArray } from "@ag-ui/client";
import { holds, play, same, until } from "./shop.mjs";

let counter = 0;

class Agent extends HttpAgent {
  constructor(shop, path = "/agent/chat?protocol=agui") {
    counter += 1;
    super({ url: shop.url + path, threadId: `thread-${counter}` });
  }

  // Runs to the end and says what was seen.
  async go(parameters = {}) {
    const seen = { events: [], started: undefined, failed: undefined };
    const result = await this.runAgent(parameters, {
      onEvent: ({ event }) => { seen.events.push(event); },
      onRunStartedEvent: ({ event }) => { seen.started = event; },
      onRunErrorEvent: ({ event }) => { seen.failed = event; },
    });
    return { ...seen, ...result, kinds: seen.events.map((e) => e.type) };
  }

  async say(content, parameters) {
    counter += 1;
    this.addMessage({ id: `user-${counter}`, role: "user", content });
    return this.go(parameters);
  }

  answer(response) {
    const responses = Object.fromEntries(this.pendingInterrupts.map((i) => [i.id, response]));
    return this.go({ resume: buildResumeArray(this.pendingInterrupts, responses) });
  }

  get text() { return this.messages.filter((m) => m.role === "assistant").map((m) => m.content ?? "").join("\n"); }
  get shape() { return this.messages.map((m) => m.role + (m.toolCalls ? `+${m.toolCalls.length}` : "")); }
}

const bill = (name) => `Create a bill for ${name}: 1 shampoo`;

await play({
  "a read is answered, and a second message": async (shop) => {
    const agent = new Agent(shop);
    const { started } = await agent.say("What's in the beauty category?", { runId: "read-1" });
    same(started.runId, "read-1", "our own run id");
    same(started.threadId, agent.threadId, "the thread");
    await shop.run(started.metadata.countersign.runId);
    holds(agent.text.includes("Shampoo"), agent.text);
    await agent.say("How much flour is left?");
    holds(agent.text.includes("Flour"), agent.text);
    same(agent.shape, ["user", "assistant+1", "tool", "assistant", "user", "assistant+1", "tool", "assistant"], "the conversation");
  },
  "interrupt and approve": async (shop) => {
    const before = await shop.bills();
    const agent = new Agent(shop);
    await agent.say("How much flour is left?");
    const asked = await agent.say(bill("Ali"));
    const [open] = agent.pendingInterrupts;
    same(open.reason, "tool_call", "the reason");
    holds(open.message.startsWith("Are you sure"), open.message);
    holds(new Date(open.expiresAt) > new Date(), open.expiresAt);
    same(asked.kinds.slice(-2), ["MESSAGES_SNAPSHOT", "RUN_FINISHED"], "the end of the run");
    const shape = ["user", "assistant+1", "tool", "assistant", "user", "assistant+1"];
    same(agent.shape, shape, "the snapshot keeps the conversation");
    same(await shop.bills(), before, "bills before the answer");

    const done = await agent.answer({ status: "resolved", payload: { approved: true } });
    holds(!done.kinds.includes("TOOL_CALL_START"), "the call is not shown again");
    same(agent.pendingInterrupts, [], "open interrupts");
    same(agent.shape, [...shape, "tool", "assistant"], "the conversation");
    same(agent.messages.at(-2).toolCallId, open.toolCallId, "the result is of the old call");
    holds(/INV-\d+/.test(agent.text), agent.text);
    same(await shop.bills(), before + 1, "bills");
  },
  "interrupt and deny with a reason": async (shop) => {
    const before = await shop.bills();
    const agent = new Agent(shop);
    const asked = await agent.say(bill("Ali"));
    await agent.answer({ status: "resolved", payload: { approved: false, reason: "too dear" } });
    same(agent.pendingInterrupts, [], "open interrupts");
    same(JSON.parse(agent.messages.find((m) => m.role === "tool").content).status, "denied", "the call");
    const { events } = await shop.run(asked.started.metadata.countersign.runId);
    same(events.find((e) => e.event === "tool_returned").data.result.reason, "too dear", "the recorded reason");
    same(await shop.bills(), before, "bills");
  },
  "a replayed resume does nothing twice": async (shop) => {
    const before = await shop.bills();
    const agent = new Agent(shop);
    await agent.say(bill("Ali"));
    const resume = buildResumeArray(agent.pendingInterrupts, Object.fromEntries(agent.pendingInterrupts.map((i) => [i.id, { status: "resolved", payload: { approved: true } }])));
    const first = await agent.go({ resume });
    const again = await agent.go({ resume });
    same(again.kinds, first.kinds, "the replay");
    same(await shop.bills(), before + 1, "bills");
  },
  "an abandoned question makes way for a new message": async (shop) => {
    const bills = await shop.bills();
    const flour = parseFloat(await shop.stock("Flour"));
    const agent = new Agent(shop);
    await agent.say(bill("Ali"));
    const resume = agent.pendingInterrupts.map((i) => ({ interruptId: i.id, status: "cancelled" }));
    await agent.say("Increase flour by 1kg", { resume });
    same(agent.pendingInterrupts, [], "open interrupts");
    same(parseFloat(await shop.stock("Flour")), flour + 1, "the new message is done");
    same(await shop.bills(), bills, "bills");
  },
  "an answer that is not taken is a run error": async (shop) => {
    const agent = new Agent(shop);
    const resume = [{ interruptId: crypto.randomUUID(), status: "resolved", payload: { approved: true } }];
    const { failed } = await agent.go({ resume });
    same(failed.code, "not_found", "the code");
  },
  "a question outlives a kill -9": async (shop) => {
    const before = await shop.bills();
    const agent = new Agent(shop);
    await agent.say(bill("Aline"));
    await shop.agent.end("SIGKILL");
    await shop.agent.start();
    await agent.answer({ status: "resolved", payload: { approved: true } });
    same(await shop.bills(), before + 1, "bills");
  },
  "the same run id attaches to the run that is there": async (shop) => {
    const before = parseFloat(await shop.stock("Flour"));
    const first = new Agent(shop, "/api/agent/chat");
    const again = first.clone();
    await shop.hold();
    const message = { id: "user-hold", role: "user", content: "Increase flour by 1kg" };
    let called = 0;
    const run = (agent) => {
      agent.addMessage(message);
      return agent.runAgent({ runId: "held" }, { onToolCallEndEvent: () => { called += 1; } });
    };
    const runs = [run(first)];
    await until("the call is shown", () => called === 1);
    runs.push(run(again));
    await until("the call is shown to both", () => called === 2);
    shop.goOn();
    await Promise.all(runs);
    same(again.messages, first.messages, "both conversations");
    same(parseFloat(await shop.stock("Flour")), before + 1, "done once");
  },
});
