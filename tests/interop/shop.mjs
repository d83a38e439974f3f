// The programs under test, as two processes over a shop of their own, and scenes that are played against them.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";

const START_MS_MAX = 60_000;
const STOP_MS_MAX = 20_000;
const SCENE_MS_MAX = 60_000;
const UNTIL_MS_MAX = 30_000;

// One of the two programs. Keeps its address over restarts.
class Program {
  constructor(name, variables, address) {
    this.name = name;
    this.variables = variables;
    this.address = address;
    this.told = "";
  }

  async start() {
    this.told = "";
    const [bind, ready, found] = {
      "mcp-server": ["MCP_BIND", /http:\/\/([^/\s]+)\/mcp/, 1],
      agent: ["AGENT_BIND", /^chat +http:\/\/(\S+)$/m, 1],
    }[this.name];
    const env = { PATH: process.env.PATH, RUST_LOG: "warn", ...this.variables(), [bind]: this.address };
    const child = spawn(join(process.env.PROGRAMS, this.name), { env, cwd: this.variables().COUNTERSIGN_HOME, stdio: ["ignore", "pipe", "pipe"] });
    this.child = child;
    await new Promise((tell, fail) => {
      const late = setTimeout(() => fail(new Error(`${this.name} did not start in time:\n${this.told}`)), START_MS_MAX);
      const hear = (text) => {
        this.told += text;
        const match = ready.exec(this.told);
        if (match) { this.address = match[found]; clearTimeout(late); tell(); }
      };
      child.stdout.setEncoding("utf8").on("data", hear);
      child.stderr.setEncoding("utf8").on("data", hear);
      child.once("error", fail);
      child.once("exit", (code) => { clearTimeout(late); fail(new Error(`${this.name} ended with ${code}:\n${this.told}`)); });
    });
  }

  get runs() { return this.child && this.child.exitCode === null && this.child.signalCode === null; }

  async end(signal) {
    if (!this.runs) return;
    const child = this.child;
    const over = once(child, "exit", { signal: AbortSignal.timeout(STOP_MS_MAX) });
    child.kill(signal);
    try {
      await over;
    } catch {
      child.kill("SIGKILL");
      throw new Error(`${this.name} did not stop in time`);
    }
  }
}

export class Shop {
  static async open() {
    const shop = new Shop();
    const home = await mkdtemp(join(import.meta.dirname, "home-"));
    await chmod(home, 0o755);
    shop.home = home;
    // A short lease: a killed agent's run is taken over soon.
    const common = { COUNTERSIGN_HOME: home, RUN_LEASE_SECONDS: "1", AGENT_HEARTBEAT_SECONDS: "1" };
    shop.server = new Program("mcp-server", () => common, "127.0.0.1:0");
    await shop.server.start();
    shop.agent = new Program("agent", () => ({ ...common, MCP_SERVER_URL: `http://${shop.server.address}/mcp` }), "127.0.0.1:0");
    await shop.agent.start();
    return shop;
  }

  get url() { return `http://${this.agent.address}`; }
  get tools() { return `http://${this.server.address}/mcp`; }

  // The tool server answers nothing until `goOn`: whatever needs a tool is under way and stays so. The agent has the list of tools by then.
  async hold() {
    const answer = await fetch(`${this.url}/agent/chat`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ message: "How much rice is left?" }),
    });
    same(answer.status, 200, "a read before the tool server is held");
    this.server.child.kill("SIGSTOP");
  }
  goOn() { this.server.child.kill("SIGCONT"); }

  async close() {
    this.goOn();
    await this.agent.end("SIGTERM");
    await this.server.end("SIGTERM");
    await rm(this.home, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  // What happened in a run.
  async run(id) {
    const answer = await fetch(`${this.url}/agent/runs/${id}`);
    same(answer.status, 200, "the run's trace");
    return answer.json();
  }

  // As a client that can ask nobody would call a tool.
  async tool(name, args) {
    const answer = await fetch(this.tools, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: args } }),
    });
    const { result, error } = await answer.json();
    if (error || result.isError) throw new Error(`${name}: ${JSON.stringify(error ?? result)}`);
    return result.structuredContent;
  }

  async bills() { return (await this.tool("billing_list_bills", {})).bills.length; }
  async stock(item) { return (await this.tool("inventory_get_item", { item })).item.stock.text; }
}

export function same(found, wanted, what) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${what}: ${a} where ${b} was expected`);
}

export function holds(condition, what) {
  if (!condition) throw new Error(what);
}

export async function until(what, condition) {
  const deadline = Date.now() + UNTIL_MS_MAX;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise((go) => setTimeout(go, 20));
  }
}

// Plays every scene in one shop, prints a line for each, and sets the exit code.
export async function play(scenes) {
  const step = process.argv[2];
  let failed = 0;
  const complaints = [];
  for (const kind of ["warn", "error"]) {
    console[kind] = (...words) => complaints.push(words.map(String).join(" "));
  }
  const shop = await Shop.open();
  try {
    for (const [name, act] of Object.entries(scenes)) {
      const began = Date.now();
      complaints.length = 0;
      let late;
      try {
        const tooLong = new Promise((_, fail) => { late = setTimeout(() => fail(new Error("took too long")), SCENE_MS_MAX); });
        await Promise.race([act(shop), tooLong]);
        if (complaints.length) throw new Error(`the client complained: ${complaints.join("\n")}`);
        console.log(`ok      ${step}: ${name} (${Date.now() - began} ms)`);
      } catch (error) {
        failed += 1;
        console.log(`FAILED  ${step}: ${name}\n${error.stack}\n--- the programs said:\n${shop.server.told}\n${shop.agent.told}`);
      } finally {
        clearTimeout(late);
      }
      shop.goOn();
      if (!shop.agent.runs) await shop.agent.start();
    }
  } finally {
    await shop.close();
  }
  // A client may hold connections open; nothing is left to wait for.
  process.exit(failed ? 1 : 0);
}
