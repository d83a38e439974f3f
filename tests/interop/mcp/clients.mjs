// The two TypeScript client libraries against mcp-server, as scenes.py plays them with the Python one.
// Usage: clients.mjs URL COMMAND. COMMAND is the mcp-server program; for stdio it shares the shop of the server at URL.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Client as ModernClient, StreamableHTTPClientTransport as ModernHttp } from "@modelcontextprotocol/client";
import { StdioClientTransport as ModernStdio } from "@modelcontextprotocol/client/stdio";
import { Client as OldClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as OldStdio } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport as OldHttp } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const [URL_OF_SERVER, COMMAND] = process.argv.slice(2);
const SCENE_MS_MAX = 60_000;
const ANSWERS = {
  yes: { action: "accept", content: { confirm: true } },
  no: { action: "decline" },
  cancel: { action: "cancel" },
};
const REVISIONS = { modern: "2026-07-28", legacy: "2025-11-25" };

// --- What happened, seen by another program: plain HTTP, no library.

async function observe(name, args) {
  const answer = await fetch(URL_OF_SERVER, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Accept: "application/json, text/event-stream",
      "MCP-Protocol-Version": "2025-06-18",
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: args } }),
  });
  return (await answer.json()).result.structuredContent;
}

const stock = async (item) => (await observe("inventory_get_item", { item })).item.stock.quantity;

async function bills() {
  let page = await observe("billing_list_bills", { limit: 100 });
  let seen = page.bills.length;
  while (page.next_cursor) {
    page = await observe("billing_list_bills", { limit: 100, cursor: page.next_cursor });
    seen += page.bills.length;
  }
  return seen;
}

async function answerOnPage(url, decision) {
  const page = await fetch(url);
  assert.match(await page.text(), /<form method="post">/);
  const answered = await fetch(url, { method: "POST", body: new URLSearchParams({ decision }) });
  assert.equal(answered.status, 200);
}

// --- One connection: a library, an era, a transport, and what the person behind it says.

class Connection {
  asked = [];

  constructor(library, era, transport, says) {
    Object.assign(this, { library, era, transport, says });
    this.name = `${library} ${version(library)}, ${era} ${transport} ${says ?? "unaskable"}`;
    // One shop serves every scene, so each has goods of its own.
    this.item = `Nails ${library} ${era} ${transport} ${says ?? "unaskable"}`;
  }

  // Whether the person can be asked through this connection at all.
  get askable() { return this.says !== undefined && (this.era === "modern" || this.transport === "stdio"); }

  async open() {
    const who = { name: "interop", version: "1" };
    const capabilities = this.says ? { elicitation: {} } : {};
    const ask = async (request) => {
      this.asked.push(request.params.message);
      return ANSWERS[this.says];
    };
    if (this.library === "sdk") {
      this.client = new OldClient(who, { capabilities });
      if (this.says) this.client.setRequestHandler(ElicitRequestSchema, ask);
    } else {
      this.client = new ModernClient(who, { capabilities, versionNegotiation: { mode: this.era === "modern" ? "auto" : "legacy" } });
      if (this.says) this.client.setRequestHandler("elicitation/create", ask);
    }
    await this.client.connect(this.#transport());
    return this.client;
  }

  #transport() {
    const [Http, Stdio] = this.library === "sdk" ? [OldHttp, OldStdio] : [ModernHttp, ModernStdio];
    if (this.transport === "http") return new Http(new URL(URL_OF_SERVER));
    const { PATH, COUNTERSIGN_HOME, MCP_BIND, RUST_LOG } = process.env;
    return new Stdio({ command: COMMAND, args: ["--stdio"], env: { PATH, COUNTERSIGN_HOME, MCP_BIND, RUST_LOG }, stderr: "inherit" });
  }
}

const version = (library) => JSON.parse(readFileSync(new URL(`node_modules/@modelcontextprotocol/${library}/package.json`, import.meta.url))).version;

function done(result) {
  assert.ok(!result.isError, JSON.stringify(result));
  assert.deepEqual(JSON.parse(result.content[0].text), result.structuredContent, "text and structure differ");
  return result.structuredContent;
}

function failure(result) {
  assert.equal(result.isError, true, JSON.stringify(result));
  assert.equal(result.structuredContent, undefined, "a failure is text only");
  const said = JSON.parse(result.content[0].text);
  assert.ok(said.code && said.message && said.hint, JSON.stringify(said));
  return said;
}

// --- The scenes.

function* typesOf(schema) {
  if (schema === null || typeof schema !== "object") return;
  if (!Array.isArray(schema) && "type" in schema && !(schema.type?.constructor === Object)) yield schema.type;
  for (const inner of Object.values(schema)) yield* typesOf(inner);
}

// Both libraries keep the output schemas of this list and check every later result against them.
async function listsTools(connection, client) {
  // The older library does not say which revision it got on stdio.
  const revision = connection.library === "client" ? client.getNegotiatedProtocolVersion() : client.transport.protocolVersion;
  if (connection.library === "client" || connection.transport === "http") assert.equal(revision, REVISIONS[connection.era]);
  assert.equal(client.getServerVersion()?.name, "countersign");
  const { tools } = await client.listTools();
  const names = tools.map((tool) => tool.name);
  assert.deepEqual(names, names.toSorted());
  assert.ok(names.includes("billing_create_bill"));
  for (const tool of tools) {
    assert.ok(tool.title && tool.description && tool.outputSchema && tool.annotations, tool.name);
    for (const type of typesOf(tool.inputSchema)) assert.ok(typeof type === "string" && type !== "null", `${tool.name}: ${type}`);
  }
}

async function reads(connection, client) {
  const found = done(await client.callTool({ name: "inventory_get_item", arguments: { item: "jabon" } }));
  assert.equal(found.item.name, "Soap");
}

async function writesOnceUnderAKey(connection, client) {
  const goods = { name: connection.item, unit: "each", unit_price: "100", quantity: "10" };
  const add = (more) => client.callTool({
    name: "inventory_add_item", arguments: { ...goods, ...more }, _meta: { "idempotency-key": `add ${connection.item}` },
  });
  const first = done(await add());
  assert.deepEqual(done(await add()), first, "another answer for the same key");
  assert.equal(failure(await add({ quantity: "11" })).code, "idempotency_conflict");
  assert.equal(await stock(connection.item), "10");
}

async function readsResources(connection, client) {
  const { resources } = await client.listResources();
  const uris = resources.map((resource) => resource.uri);
  for (const uri of ["countersign://price-list", "countersign://opening-hours.md"]) assert.ok(uris.includes(uri), `${uri}: ${uris}`);
  for (const { uri, mimeType } of resources) {
    const [content] = (await client.readResource({ uri })).contents;
    assert.ok(content.text, uri);
    if (mimeType === "application/json") JSON.parse(content.text);
  }
  const { resourceTemplates } = await client.listResourceTemplates();
  assert.ok(resourceTemplates.some((template) => template.uriTemplate === "countersign://items/{name}"));
}

async function startsFromPrompts(connection, client) {
  const { prompts } = await client.listPrompts();
  assert.deepEqual(prompts.map((prompt) => prompt.name), ["daily_summary", "end_of_day", "reorder_list"]);
  for (const { name } of prompts) {
    const { messages } = await client.getPrompt({ name });
    assert.ok(messages.length > 1, name);
  }
}

async function completesWhatIsBegun(connection, client) {
  const complete = async (ref, name, value) => (await client.complete({ ref, argument: { name, value } })).completion;
  const items = await complete({ type: "ref/resource", uri: "countersign://items/{name}" }, "name", "soa");
  assert.ok(items.values.includes("Soap"), JSON.stringify(items));
  const days = await complete({ type: "ref/prompt", name: "daily_summary" }, "day", "yest");
  assert.deepEqual([days.values, days.total], [["yesterday"], 1]);
}

// In plain HTTP, as the stream is on the wire: the acknowledgement, then what another client has changed.
async function hearsOfChanges(connection, client) {
  if (connection.era !== "modern" || connection.transport !== "http") return;
  const _meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": { name: "interop", version: "1" },
  };
  const stop = new AbortController();
  const answer = await fetch(URL_OF_SERVER, {
    method: "POST",
    signal: stop.signal,
    headers: {
      "Content-Type": "application/json",
      Accept: "application/json, text/event-stream",
      "MCP-Protocol-Version": "2026-07-28",
      "Mcp-Method": "subscriptions/listen",
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: "ear", method: "subscriptions/listen", params: { notifications: { resourcesListChanged: true }, _meta } }),
  });
  const pieces = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let heard = "";
  const until = async (wanted) => {
    while (!heard.includes(wanted)) {
      const { value, done: ended } = await pieces.read();
      assert.ok(!ended, `ended before ${wanted}: ${heard}`);
      heard += value;
    }
  };
  await until("notifications/subscriptions/acknowledged");
  const goods = { name: `${connection.item} heard`, category: `heard ${connection.says}`, unit: "each", unit_price: "1", quantity: "1" };
  done(await client.callTool({ name: "inventory_add_item", arguments: goods }));
  await until("notifications/resources/list_changed");
  assert.match(heard, /"io.modelcontextprotocol\/subscriptionId":"ear"/);
  stop.abort();
}

async function isToldWhatWentWrong(connection, client) {
  const get = (item) => client.callTool({ name: "inventory_get_item", arguments: { item } });
  assert.equal(failure(await get("plutonium")).code, "unknown_item");
  const said = failure(await get(7));
  assert.deepEqual([said.code, said.field], ["invalid_arguments", "item"]);
  await assert.rejects(client.callTool({ name: "drop_tables", arguments: {} }), (error) => error.code === -32602 && /drop_tables/.test(error.message));
}

async function asksBeforeItBills(connection, client) {
  const { askable, says, asked, item } = connection;
  const before = await bills();
  const sale = { lines: [{ item, quantity: "2" }], idempotency_key: `bill ${item}` };
  const bill = () => client.callTool({ name: "billing_create_bill", arguments: sale });
  const outcome = await bill();
  const dialogs = askable ? 1 : 0;
  assert.equal(asked.length, dialogs, `dialogs: ${asked}`);
  for (const message of asked) assert.match(message, /create a bill.*RWF 200/);
  let number;
  if (askable && says === "yes") number = done(outcome).number;
  else if (askable && says === "no") assert.equal(failure(outcome).code, "declined");
  else number = await settlesOnThePage(connection, client, done(outcome), before);
  assert.equal(await bills(), before + (number ? 1 : 0), "bills");
  assert.equal(await stock(item), number ? "8" : "10", "stock");
  if (!number) return;
  assert.equal(done(await bill()).number, number, "the same key is the same bill");
  assert.equal(asked.length, dialogs, "asked again");
  assert.deepEqual([await bills(), await stock(item)], [before + 1, "8"], "done twice");
  assert.equal(done(await client.callTool({ name: "billing_get_bill", arguments: { bill: number } })).bill.number, number);
}

// A dialog that was closed leaves the question open, so there the person thinks better of it and says yes on the page.
async function settlesOnThePage(connection, client, required, before) {
  assert.equal(required.status, "confirmation_required", JSON.stringify(required));
  assert.ok(!("token" in required), "a model could approve itself");
  const collect = async () => done(await client.callTool({ name: "confirm_action", arguments: { confirmation_id: required.confirmation_id } }));
  assert.equal((await collect()).status, "open");
  assert.deepEqual([await bills(), await stock(connection.item)], [before, "10"], "done without a yes");
  const denied = connection.says === "no";
  await answerOnPage(required.approval_url, denied ? "deny" : "approve");
  const outcome = await collect();
  assert.equal(outcome.status, denied ? "declined" : "done", JSON.stringify(outcome));
  return denied ? undefined : outcome.result.number;
}

// --- All of it.

const within = (promise, what) => {
  let timer;
  const late = new Promise((_, fail) => { timer = setTimeout(() => fail(new Error(`${what}: not within ${SCENE_MS_MAX} ms`)), SCENE_MS_MAX); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

async function play(connection) {
  let failed = 0;
  try {
    const client = await within(connection.open(), "connecting");
    for (const scene of [listsTools, reads, readsResources, startsFromPrompts, completesWhatIsBegun, hearsOfChanges, writesOnceUnderAKey, isToldWhatWentWrong, asksBeforeItBills]) {
      const title = `${connection.name}: ${scene.name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)}`;
      try {
        await within(scene(connection, client), title);
        console.log(`ok      ${title}`);
      } catch (error) {
        failed += 1;
        console.log(`FAILED  ${title}: ${error.message}`);
        console.error(error);
      }
    }
    await client.close();
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${connection.name}: the connection: ${error.message}`);
    console.error(error);
  }
  return failed;
}

let failed = 0;
for (const [library, eras] of [["client", ["modern", "legacy"]], ["sdk", ["legacy"]]]) {
  for (const era of eras) {
    for (const transport of ["http", "stdio"]) {
      for (const says of ["yes", "no", "cancel", undefined]) failed += await play(new Connection(library, era, transport, says));
    }
  }
}
process.exit(failed ? 1 : 0);
