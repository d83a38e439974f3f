// The inspector's command line against mcp-server, in both eras over HTTP and once over stdio. Every scene is processes of its own.
// Usage: inspector.mjs URL COMMAND [KEY]. With a key the server at URL wants one, and there is no stdio.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [URL_OF_SERVER, COMMAND, KEY] = process.argv.slice(2);
const AUTHORIZED = KEY ? { Authorization: `Bearer ${KEY}` } : {};
const CALL_MS_MAX = 60_000;
const PACKAGE = new URL("node_modules/@modelcontextprotocol/inspector/", import.meta.url);
const { version, bin } = JSON.parse(readFileSync(new URL("package.json", PACKAGE)));
const PROGRAM = new URL(typeof bin === "string" ? bin : bin["mcp-inspector"], PACKAGE).pathname;
// A free-form member of an answer says so on purpose.
const WARNING_ALLOWED = /no validation keyword at all/;
// What the inspector says with when a tool refused.
const TOOL_REFUSED = 5;

const home = mkdtempSync(join(tmpdir(), "inspector-")); // it keeps files in its user's home

function inspector(era, ...args) {
  const target = era === "stdio" ? [COMMAND, "--stdio"] : [URL_OF_SERVER, "--transport", "http", "--protocol-era", era];
  for (const [name, value] of Object.entries(AUTHORIZED)) target.push("--header", `${name}: ${value}`);
  const environment = { ...process.env, HOME: home };
  const passed = era === "stdio" ? ["COUNTERSIGN_HOME", "MCP_BIND", "RUST_LOG"].flatMap((name) => ["-e", `${name}=${process.env[name]}`]) : [];
  const options = { env: environment, timeout: CALL_MS_MAX, maxBuffer: 16 * 1024 * 1024 };
  return new Promise((told) => {
    execFile(process.execPath, [PROGRAM, "--cli", ...target, ...passed, ...args], options, (error, out, err) => told({ code: error?.code ?? 0, out, err }));
  });
}

async function call(era, tool, args) {
  const pairs = Object.entries(args).flatMap(([name, value]) => ["--tool-arg", `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`]);
  const { code, out, err } = await inspector(era, "--method", "tools/call", "--tool-name", tool, ...pairs);
  assert.ok(code === 0 || code === TOOL_REFUSED, `ended with ${code}: ${err}`);
  const result = JSON.parse(out);
  const said = JSON.parse(result.content[0].text);
  assert.equal(code === TOOL_REFUSED, result.isError === true, "the exit code says whether it was refused");
  if (!result.isError) assert.deepEqual(result.structuredContent, said, "text and structure differ");
  return { refused: result.isError === true, said, meta: result._meta };
}

// --- The scenes.

async function findsNoFaultInTheTools(era) {
  const { code, out, err } = await inspector(era, "--method", "tools/list", "--strict");
  assert.equal(code, 0, err);
  assert.match(err, /\b0 errors\b/);
  for (const [, issue] of err.matchAll(/^ *Issue: (.*)$/gm)) assert.match(issue, WARNING_ALLOWED);
  assert.ok(JSON.parse(out).tools.some((tool) => tool.name === "billing_create_bill"));
}

async function reads(era) {
  const { said, meta } = await call(era, "inventory_get_item", { item: "jabon" });
  assert.equal(said.item.name, "Soap");
  if (era === "modern") assert.equal(meta["io.modelcontextprotocol/serverInfo"].name, "countersign");
}

async function writesOnceUnderAKey(era) {
  const name = `Rope ${era}`;
  const add = (quantity) => call(era, "inventory_add_item", { name, unit: "each", unit_price: "100", quantity, idempotency_key: `rope ${era}` });
  const first = await add("10");
  assert.equal(first.refused, false, JSON.stringify(first));
  assert.deepEqual((await add("10")).said, first.said);
  assert.equal((await add("11")).said.code, "idempotency_conflict");
  assert.equal((await call(era, "inventory_get_item", { item: name })).said.item.stock.quantity, "10");
}

async function isToldWhatWentWrong(era) {
  const { refused, said } = await call(era, "inventory_get_item", { item: "plutonium" });
  assert.deepEqual([refused, said.code], [true, "unknown_item"]);
}

// The command line cannot ask anybody: the person answers on the page.
async function leavesTheYesToThePage(era) {
  const lines = [{ item: `Rope ${era}`, quantity: "3" }];
  const { said: required } = await call(era, "billing_create_bill", { lines });
  assert.equal(required.status, "confirmation_required");
  const collect = async () => (await call(era, "confirm_action", { confirmation_id: required.confirmation_id })).said;
  assert.equal((await collect()).status, "open");
  const answered = await fetch(required.approval_url, { method: "POST", headers: AUTHORIZED, body: new URLSearchParams({ decision: "approve" }) });
  assert.equal(answered.status, 200);
  const outcome = await collect();
  assert.equal(outcome.status, "done", JSON.stringify(outcome));
  const { said: bill } = await call(era, "billing_get_bill", { bill: outcome.result.number });
  assert.equal(bill.bill.number, outcome.result.number);
  assert.equal((await call(era, "inventory_get_item", { item: `Rope ${era}` })).said.item.stock.quantity, "7");
}

// What only the demo shop has.
const OF_THE_DEMO = [reads];
const ALL = [findsNoFaultInTheTools, ...OF_THE_DEMO, writesOnceUnderAKey, isToldWhatWentWrong, leavesTheYesToThePage];
const WITH_KEY = ALL.filter((scene) => !OF_THE_DEMO.includes(scene));
const PLAYED = KEY ? [["modern", WITH_KEY], ["legacy", WITH_KEY]] : [["modern", ALL], ["legacy", ALL], ["stdio", [findsNoFaultInTheTools, reads]]];
let failed = 0;
for (const [era, scenes] of PLAYED) {
  for (const scene of scenes) {
    const title = `inspector ${version}, ${era}${KEY ? " with a key" : ""}: ${scene.name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)}`;
    try {
      await scene(era);
      console.log(`ok      ${title}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${title}: ${error.message}`);
      console.error(error);
    }
  }
}
rmSync(home, { recursive: true, force: true });
process.exit(failed ? 1 : 0);
