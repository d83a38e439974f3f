// The two TypeScript client libraries with keys and with tokens, over every toolset, as callers.py plays it with the Python one.
// Usage: callers.mjs URL ISSUER TABLE PAGES. TABLE is callers.json; PAGES is the folder of the published pages of the tools. KEYS and PASSWORD in
// the environment are the credentials of the business `corner`. Tokens the libraries get themselves, from our 401 on.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as modern from "@modelcontextprotocol/client";
import { UnauthorizedError as OldUnauthorized } from "@modelcontextprotocol/sdk/client/auth.js";
import { ClientCredentialsProvider as OldCredentials } from "@modelcontextprotocol/sdk/client/auth-extensions.js";
import { Client as OldClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as OldHttp } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const [URL_OF_SERVER, ISSUER, TABLE_FILE, PAGES] = process.argv.slice(2);
const TABLE = JSON.parse(readFileSync(TABLE_FILE));
const KEYS = JSON.parse(process.env.KEYS);
const ORIGIN = new URL(URL_OF_SERVER).origin;
const BACK = "http://127.0.0.1:1/back"; // nobody listens there: the address is read from the redirect
const SCENE_MS_MAX = 30_000;
const ANSWERS = { yes: { action: "accept", content: { confirm: true } }, no: { action: "decline" } };
// How each library tells its caller that the server refused. With a provider it has asked for more first, in vain.
const UNAUTHORIZED = /401|The token is not valid/;
const FORBIDDEN = {
  client: { key: /insufficient.scope/i, token: /403 insufficient_scope after step-up/ },
  sdk: { key: /Error POSTing/, token: /403 after trying upscoping/ },
};

// --- What the published pages say: toolset and effect of every tool.

const TOOLS = {};
for (const file of readdirSync(PAGES).filter((name) => name.endsWith(".md")).sort()) {
  for (const part of readFileSync(join(PAGES, file), "utf8").split("\n## ").slice(1)) {
    const effect = /^- What a call does: (reads|writes|asks)/m.exec(part);
    if (effect) TOOLS[part.split("\n")[0]] = { toolset: file.replace(".md", ""), effect: { reads: "read", writes: "write", asks: "commit" }[effect[1]] };
  }
}
const EVERYTHING = Object.keys(TOOLS).sort();
const READING = EVERYTHING.filter((tool) => TOOLS[tool].effect === "read");

// --- What happened, seen by another caller: plain HTTP with the owner's key, no library.

const filled = (call, values) => JSON.parse(JSON.stringify(call.arguments).replace(/\{(\w+)\}/g, (_, name) => values[name]));

async function plain(method, params, more = {}) {
  const answer = await fetch(URL_OF_SERVER, {
    method: "POST",
    headers: {
      Authorization: `Bearer ${KEYS.owner}`,
      "Content-Type": "application/json",
      Accept: "application/json, text/event-stream",
      "MCP-Protocol-Version": "2025-06-18",
      ...more,
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  });
  return (await answer.json()).result;
}
const observe = async (call, values) => (await plain("tools/call", { name: call.tool, arguments: filled(call, values) })).structuredContent;

// Somebody before the approval page: the owner, logged in, or whoever has this credential.
async function answerOnPage(url, decision, credential) {
  const headers = { Origin: ORIGIN, ...(credential ? { Authorization: `Bearer ${credential}` } : { Cookie: await loggedIn() }) };
  return (await fetch(url, { method: "POST", redirect: "manual", headers, body: new URLSearchParams({ decision }) })).status;
}
let session;
async function loggedIn() {
  session ??= await fetch(`${ORIGIN}/login`, {
    method: "POST",
    redirect: "manual",
    headers: { Origin: ORIGIN },
    body: new URLSearchParams({ shop: "corner", name: "owner", password: process.env.PASSWORD }),
  }).then((answer) => answer.headers.getSetCookie()[0].split(";")[0]);
  return session;
}

// --- Credentials.

// A person's log-in: the library registers and asks for the code, the browser comes back with it.
class CodeFlow {
  redirectUrl = BACK;
  constructor(name) {
    this.clientMetadata = { client_name: name, redirect_uris: [BACK], grant_types: ["authorization_code"], response_types: ["code"], token_endpoint_auth_method: "none" };
  }
  state() { return (this.expected = randomUUID()); }
  clientInformation() { return this.client; }
  saveClientInformation(client) { this.client = client; }
  tokens() { return this.saved; }
  saveTokens(tokens) { this.saved = tokens; }
  saveCodeVerifier(verifier) { this.verifier = verifier; }
  codeVerifier() { return this.verifier; }
  saveDiscoveryState(found) { this.found = found; }
  discoveryState() { return this.found; }
  redirectToAuthorization(url) { this.asked = url; }

  async comesBack() {
    const answer = await fetch(this.asked, { redirect: "manual" });
    const back = new URL(answer.headers.get("location") ?? assert.fail(await answer.text()));
    assert.equal(back.searchParams.get("state"), this.expected);
    return back.searchParams;
  }
}

async function bareToken(name) {
  const form = { grant_type: "client_credentials", client_id: name, client_secret: `${name}-secret`, resource: URL_OF_SERVER };
  return (await (await fetch(`${ISSUER}/token`, { method: "POST", body: new URLSearchParams(form) })).json()).access_token;
}
const bearerOf = (kind, name) => (kind === "key" ? KEYS[name] : bareToken(name));

// --- One connection: a library, an era and a credential.

class Connection {
  asked = [];
  heard = [];

  constructor(library, era, kind, name, { byHeader } = {}) {
    Object.assign(this, { library, era, kind, name, byHeader: byHeader || kind === "key" });
  }

  async open() {
    const old = this.library === "sdk";
    const [Client, Http, Credentials] = old ? [OldClient, OldHttp, OldCredentials] : [modern.Client, modern.StreamableHTTPClientTransport, modern.ClientCredentialsProvider];
    this.headers = this.byHeader ? { Authorization: `Bearer ${await bearerOf(this.kind, this.name)}` } : {};
    if (!this.byHeader) {
      this.provider = ["owner", "climber"].includes(this.name)
        ? new CodeFlow(this.name)
        : new Credentials({ clientId: this.name, clientSecret: `${this.name}-secret`, expectedIssuer: ISSUER });
    }
    this.transport = () => new Http(new URL(URL_OF_SERVER), { authProvider: this.provider, requestInit: { headers: this.headers }, fetch: this.#fetch });
    this.fresh = () => {
      const mode = this.era === "modern" ? "auto" : "legacy";
      const client = new Client({ name: "interop", version: "1" }, { capabilities: { elicitation: {} }, versionNegotiation: { mode } });
      client.setRequestHandler(old ? ElicitRequestSchema : "elicitation/create", async (request) => {
        this.asked.push(request.params.message);
        return ANSWERS[this.says];
      });
      return client;
    };
    this.client = await this.#connected();
    return this;
  }

  // The person logs in when the library says that somebody has to, then it goes on.
  async #connected() {
    for (const first of [true, false]) {
      const [client, transport] = [this.fresh(), this.transport()];
      try {
        await client.connect(transport);
        return Object.assign(client, { over: transport });
      } catch (error) {
        if (!first || !this.#mustLogIn(error)) throw error;
        await this.#logIn(transport);
      }
    }
  }
  #mustLogIn(error) {
    const unauthorized = error instanceof modern.UnauthorizedError || error instanceof OldUnauthorized;
    return unauthorized && this.provider instanceof CodeFlow;
  }
  async #logIn(transport) {
    const back = await this.provider.comesBack();
    await (this.library === "sdk" ? transport.finishAuth(back.get("code")) : transport.finishAuth(back));
  }

  #fetch = async (url, init) => {
    const answer = await fetch(url, init);
    if (String(url) === URL_OF_SERVER && (init?.method ?? "GET") === "POST") {
      this.heard.push({ status: answer.status, challenge: answer.headers.get("www-authenticate") ?? "" });
    }
    return answer;
  };

  async call(call, values, more) {
    const wanted = { name: call.tool, arguments: { ...filled(call, values), ...more } };
    try {
      return await this.client.callTool(wanted);
    } catch (error) {
      if (!this.#mustLogIn(error)) throw error;
      await this.#logIn(this.client.over);
      return this.client.callTool(wanted);
    }
  }

  // A call that the server does not let through, and the library says so.
  async isRefused(call, values, status, ...challenge) {
    this.heard.length = 0;
    const said = status === 401 ? UNAUTHORIZED : FORBIDDEN[this.library][this.byHeader ? "key" : "token"];
    await assert.rejects(this.call(call, values), (error) => said.test(error.message) || assert.fail(`${error.name}: ${error.message}`));
    const refused = this.heard.find((heard) => heard.status === status);
    assert.ok(refused, JSON.stringify(this.heard));
    for (const part of challenge) assert.ok(refused.challenge.includes(part), `${part}: ${refused.challenge}`);
  }
}

function done(result) {
  assert.ok(!result.isError, JSON.stringify(result));
  assert.deepEqual(JSON.parse(result.content[0].text), result.structuredContent, "text and structure differ");
  return result.structuredContent;
}

function failure(result) {
  assert.ok(result.isError && result.structuredContent === undefined, JSON.stringify(result));
  return JSON.parse(result.content[0].text);
}

// --- The scenes. Each has the connections of one kind of credential, by the name of who calls, and what its goods are called.

// The table must fit what the server says it has: a new toolset fails here until it has its rows.
async function theTableCoversEveryToolset() {
  const described = await (await fetch(`${ORIGIN}/.well-known/oauth-protected-resource/mcp`)).json();
  const toolsets = [...new Set(described.scopes_supported.filter((scope) => scope.includes(":")).map((scope) => scope.split(":")[0]))].filter((toolset) => toolset !== "all");
  assert.deepEqual(Object.keys(TABLE.toolsets).toSorted(), toolsets.toSorted());
  for (const toolset of toolsets) {
    const { tools } = await plain("tools/list", {}, { "X-MCP-Toolsets": toolset });
    const effects = new Set();
    for (const { name, annotations } of tools.filter((tool) => tool.name !== "confirm_action")) {
      assert.equal(TOOLS[name]?.toolset, toolset, `the page of ${name}`);
      assert.equal(annotations.readOnlyHint, TOOLS[name].effect === "read", name);
      effects.add(TOOLS[name].effect);
    }
    for (const [effect, row] of [["read", "read"], ["write", "write"], ["commit", "asked"]]) {
      const rows = [TABLE.toolsets[toolset][row] ?? []].flat();
      assert.equal(rows.length > 0, effects.has(effect), `${toolset}: ${effect} is there or in the table, not both`);
      for (const { tool } of rows) assert.deepEqual(TOOLS[tool], { toolset, effect }, tool);
    }
  }
}

async function listsWhatEachMayUse(by) {
  const inventory = EVERYTHING.filter((tool) => ["inventory", "all"].includes(TOOLS[tool].toolset));
  for (const [name, expected] of [["owner", EVERYTHING], ["reader", READING], ["stock", inventory]]) {
    const names = (await by[name].client.listTools()).tools.map((tool) => tool.name);
    assert.deepEqual(names, expected, name);
  }
}

const using = (toolset) => {
  const { read, write, asked = [] } = TABLE.toolsets[toolset];
  const scene = async ({ owner }, values) => {
    done(await owner.call(read, values));
    if (write) {
      const before = await observe(write.seen ?? read, values);
      done(await owner.call(write, values));
      assert.notDeepEqual(await observe(write.seen ?? read, values), before, "not written");
    }
    for (const call of asked) await asks(owner, call, call.seen ?? read, values);
  };
  scene.title = `${toolset}: reads${write ? ", writes" : ""}${asked.length ? ", asks before it acts" : ""}`;
  return scene;
};

async function asks(owner, call, seen, values) {
  const before = await observe(seen, values);
  let once, result;
  for (const says of ["no", "yes"]) {
    owner.says = says;
    owner.asked.length = 0;
    once = { idempotency_key: `${call.tool} ${values.n} ${says}` };
    const outcome = await owner.call(call, values, once);
    if (owner.era === "legacy") {
      result = (await settlesOnThePage(owner, done(outcome), says)).result;
    } else {
      assert.equal(owner.asked.length, 1, `dialogs: ${owner.asked}`);
      if (says === "no") assert.equal(failure(outcome).code, "declined");
      else result = done(outcome);
    }
    const changed = JSON.stringify(await observe(seen, values)) !== JSON.stringify(before);
    assert.equal(changed, says === "yes", `${call.tool} after ${says}`);
  }
  const after = await observe(seen, values);
  assert.deepEqual(done(await owner.call(call, values, once)), result, "another answer for the same key");
  assert.equal(owner.asked.length, owner.era === "modern" ? 1 : 0, "asked again");
  assert.deepEqual(await observe(seen, values), after, "done again");
  for (const [name, member] of Object.entries(call.keeps ?? {})) values[name] = String(result[member]);
}

async function settlesOnThePage(owner, required, says) {
  assert.equal(required.status, "confirmation_required", JSON.stringify(required));
  assert.equal(owner.asked.length, 0);
  assert.equal(await answerOnPage(required.approval_url, { yes: "approve", no: "deny" }[says]), 200);
  const settled = done(await owner.client.callTool({ name: "confirm_action", arguments: { confirmation_id: required.confirmation_id } }));
  assert.deepEqual([settled.status, settled.decided_by], [{ yes: "done", no: "declined" }[says], "owner"], JSON.stringify(settled));
  return settled;
}

async function areRefusedBeyondTheirScope({ reader, stock }, values) {
  for (const [toolset, { read, write, asked = [] }] of Object.entries(TABLE.toolsets)) {
    for (const call of [write ?? [], asked].flat()) {
      const before = await observe(call.seen ?? read, values);
      for (const who of toolset === "inventory" ? [reader] : [reader, stock]) {
        await who.isRefused(call, values, 403, 'error="insufficient_scope"', `${toolset}:${TOOLS[call.tool].effect}`);
      }
      assert.deepEqual(await observe(call.seen ?? read, values), before, `${call.tool}: done`);
    }
  }
  const { read, write } = TABLE.toolsets.inventory;
  const before = await observe(read, values);
  done(await stock.call(write, values));
  assert.notDeepEqual(await observe(read, values), before, "within its scope");
}

async function answersForNobodyElse({ owner, other }, values) {
  const { read, asked: [call] } = TABLE.toolsets.billing;
  const before = await observe(read, values);
  if (owner.era === "legacy") {
    const required = done(await owner.call(call, values));
    assert.equal(await answerOnPage(required.approval_url, "approve", await bearerOf(other.kind, "other")), 403);
    assert.deepEqual(await observe(read, values), before, "done for another");
    await settlesOnThePage(owner, required, "no");
  } else {
    const either = modern.withInputRequired(modern.specTypeSchemas.CallToolResult);
    const answered = (who, more) => {
      const params = { name: call.tool, arguments: filled(call, values), ...more };
      return who.client.request({ method: "tools/call", params }, either, { allowInputRequired: true });
    };
    const question = await answered(owner);
    const saying = (answer) => ({
      requestState: question.requestState,
      inputResponses: Object.fromEntries(Object.keys(question.inputRequests).map((name) => [name, answer])),
    });
    for (const answer of [ANSWERS.yes, ANSWERS.no]) {
      assert.equal(failure(await answered(other, saying(answer))).code, "unknown_confirmation");
      assert.deepEqual(await observe(read, values), before, "done for another");
    }
    assert.equal(failure(await answered(owner, saying(ANSWERS.no))).code, "declined");
  }
  assert.deepEqual(await observe(read, values), before, "done");
}

async function isNotLetInAnyMore({ kept }, values) {
  const { read, write, asked } = TABLE.toolsets.inventory;
  const before = await observe(read, values);
  done(await kept.call(read, values));
  kept.headers.Authorization = `Bearer ${await bearerOf(kept.kind, "ended")}`;
  // Of all scenes together fewer than the 60 bad credentials in a minute after which an address has to wait.
  for (const call of [write, asked[0]]) await kept.isRefused(call, values, 401, 'error="invalid_token"', "resource_metadata=");
  assert.deepEqual(await observe(read, values), before, "done");
  const late = new Connection(kept.library, kept.era, kept.kind, "ended");
  await assert.rejects(late.open(), (error) => UNAUTHORIZED.test(error.message) || assert.fail(`${error.name}: ${error.message}`));
  assert.ok(late.heard.length > 0 && late.heard.length <= 4 && late.heard.every(({ status }) => status === 401), JSON.stringify(late.heard));
}

// What the first 401 says is all that a library needs to find the authorization server.
async function comeInByOneRefusal(by) {
  const found = `resource_metadata="${ORIGIN}/.well-known/oauth-protected-resource/mcp", scope="all:commit"`;
  for (const name of ["owner", "reader", "stock", "other", "climber"]) {
    const statuses = by[name].heard.map(({ status }) => status);
    assert.deepEqual([statuses.indexOf(401), statuses.lastIndexOf(401)], [0, 0], `${name}: ${statuses}`);
    assert.ok(by[name].heard[0].challenge.endsWith(found), by[name].heard[0].challenge);
  }
}

async function getsMoreWhenItNeedsMore({ climber }, values) {
  const { read, write } = TABLE.toolsets.inventory;
  const before = await observe(read, values);
  assert.deepEqual((await climber.client.listTools()).tools.map((tool) => tool.name), READING, "to begin with");
  climber.heard.length = 0;
  done(await climber.call(write, values));
  assert.deepEqual(climber.heard.slice(0, 2).map(({ status }) => status), [403, 200]);
  assert.notDeepEqual(await observe(read, values), before, "not written");
}

// --- All of it.

let failed = 0;
async function played(title, promise) {
  let timer;
  const late = new Promise((_, fail) => { timer = setTimeout(() => fail(new Error(`not within ${SCENE_MS_MAX} ms`)), SCENE_MS_MAX); });
  try {
    await Promise.race([promise, late]);
    if (title) console.log(`ok      ${title}`);
    return true;
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${title ?? "the connections"}: ${error.message}`);
    console.error(error);
    return false;
  } finally {
    clearTimeout(timer);
  }
}

const version = (library) => JSON.parse(readFileSync(new URL(`node_modules/@modelcontextprotocol/${library}/package.json`, import.meta.url))).version;

async function play(library, era, kind) {
  const title = `${library} ${version(library)}, ${era} http, ${kind}`;
  const values = { n: `${library} ${era} ${kind}`, day: new Date(Date.now() + 3 * 86_400_000).toISOString().slice(0, 10) };
  const by = {
    kept: new Connection(library, era, kind, "owner", { byHeader: true }),
    ...Object.fromEntries(["owner", "reader", "stock", "other", ...(kind === "token" ? ["climber"] : [])].map((name) => [name, new Connection(library, era, kind, name)])),
  };
  const begin = async () => {
    for (const connection of Object.values(by)) await connection.open();
    for (const call of TABLE.made) done(await by.owner.call(call, values));
  };
  let scenes = [listsWhatEachMayUse, ...Object.keys(TABLE.toolsets).map(using), areRefusedBeyondTheirScope, answersForNobodyElse, isNotLetInAnyMore];
  if (kind === "token") scenes = [comeInByOneRefusal, ...scenes, getsMoreWhenItNeedsMore];
  if (!(await played(undefined, begin()))) return;
  for (const scene of scenes) {
    await played(`${title}: ${scene.title ?? scene.name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)}`, scene(by, values));
  }
  for (const { client } of Object.values(by)) await client.close();
}

await played("callers: the table covers every toolset", theTableCoversEveryToolset());
for (const [library, era] of [["client", "modern"], ["client", "legacy"], ["sdk", "legacy"]]) {
  for (const kind of ["key", "token"]) await play(library, era, kind);
}
process.exit(failed ? 1 : 0);
