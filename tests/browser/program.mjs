// The program under test: started with a shop of its own, on ports of its own, and the two ways other programs talk to it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, chmod } from "node:fs/promises";
import { join } from "node:path";

const START_MS_MAX = 60_000;
const STOP_MS_MAX = 20_000;

export class Program {
  #path;
  #home;
  #child;
  #told = "";
  #address = "127.0.0.1:0"; // the first start finds free ports, later ones take the same
  #toolsAddress = "127.0.0.1:0";

  static async start(path) {
    const program = new Program();
    program.#path = path;
    program.#home = await mkdtemp(join(import.meta.dirname, "home-"));
    await chmod(program.#home, 0o755); // started by root, the database runs as another user
    await program.start();
    return program;
  }

  get url() { return `http://${this.#address}`; }

  // What it said since its last start.
  get told() { return this.#told; }

  async start(more = {}) {
    const env = {
      PATH: process.env.PATH,
      COUNTERSIGN_HOME: this.#home,
      AGENT_BIND: this.#address,
      MCP_BIND: this.#toolsAddress,
      RUST_LOG: "warn",
      ...more,
    };
    this.#told = "";
    this.#child = spawn(this.#path, { env, cwd: this.#home, stdio: ["ignore", "ignore", "pipe"] });
    const child = this.#child;
    const ready = new Promise((tell, fail) => {
      const late = setTimeout(() => fail(new Error(`did not start in time:\n${this.#told}`)), START_MS_MAX);
      child.stderr.setEncoding("utf8").on("data", (text) => {
        this.#told += text;
        if (this.#told.includes("Ctrl-C stops it.")) { clearTimeout(late); tell(); }
      });
      child.once("error", fail);
      child.once("exit", (code) => { clearTimeout(late); fail(new Error(`ended with ${code}:\n${this.#told}`)); });
    });
    await ready;
    this.#address = /^chat +http:\/\/(\S+)$/m.exec(this.#told)[1];
    this.#toolsAddress = /^tools +http:\/\/([^/\s]+)\/mcp$/m.exec(this.#told)[1];
  }

  // Without a word, as a power cut would.
  async kill() {
    await this.#end("SIGKILL");
  }

  async stop() {
    if (this.#runs) await this.#end("SIGTERM");
  }

  // Running again, when a scene has left it stopped.
  async ensure() {
    if (!this.#runs) await this.start();
  }

  get #runs() { return this.#child.exitCode === null && this.#child.signalCode === null; }

  async #end(signal) {
    const child = this.#child;
    const over = once(child, "exit", { signal: AbortSignal.timeout(STOP_MS_MAX) });
    child.kill(signal);
    try {
      await over;
    } catch {
      child.kill("SIGKILL");
      throw new Error("did not stop in time");
    }
  }

  async remove() {
    await this.stop();
    await rm(this.#home, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  // As a program would use the chat API.
  async api(path, body) {
    const answer = await fetch(this.url + path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    return { status: answer.status, body: await answer.json() };
  }

  // A message in a conversation of its own, which must succeed.
  async say(message, session_id) {
    const { status, body } = await this.api("/agent/chat", { message, session_id });
    if (status !== 200) throw new Error(`${message}: ${status} ${JSON.stringify(body)}`);
    return body;
  }

  // As a client that can ask nobody would call a tool.
  async tool(name, args) {
    const answer = await fetch(`http://${this.#toolsAddress}/mcp`, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Accept: "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-06-18",
      },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: args } }),
    });
    const { result, error } = await answer.json();
    if (error || result.isError) throw new Error(`${name}: ${JSON.stringify(error ?? result)}`);
    return result.structuredContent;
  }

  // Somebody who may log in, added by the owner of this machine.
  async person(person) {
    const answer = await fetch(`http://${this.#toolsAddress}/admin/v1/people`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(person),
    });
    if (!answer.ok) throw new Error(`${person.subject}: ${answer.status} ${await answer.text()}`);
  }

  // How much of an item there is, as its own unit's text: "20 kg".
  async stock(item) {
    const found = await this.tool("inventory_get_item", { item });
    return found.item.stock.text;
  }
}
