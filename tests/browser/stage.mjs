// The browser, one window per scene, and what a scene does and sees in it.

import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { once } from "node:events";
import { chromium } from "playwright-core";

const WAIT_MS_MAX = 10_000;

export const open = () => chromium.launch({
  executablePath: "/usr/bin/chromium",
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

// A window with nothing remembered. `complaints` holds whatever the page complains about: errors, and what its policy stopped.
export async function openWindow(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(WAIT_MS_MAX);
  const complaints = [];
  await context.exposeBinding("tellViolation", (_, text) => complaints.push(text));
  await context.addInitScript(() => document.addEventListener("securitypolicyviolation", (event) => {
    globalThis.tellViolation(`policy ${event.violatedDirective} stopped ${event.blockedURI}`);
  }));
  const page = await context.newPage();
  page.on("console", (message) => { if (message.type() === "error") complaints.push(message.text()); });
  page.on("pageerror", (error) => complaints.push(String(error)));
  return { context, page, complaints };
}

// The chat page as a person sees it.
export class Chat {
  constructor(page) {
    this.page = page;
    this.box = page.getByRole("textbox", { name: "Message" });
    this.sendButton = page.getByRole("button", { name: "Send" });
    this.questions = page.getByRole("region", { name: "Question" });
    this.answers = page.getByRole("article", { name: "Answer" });
    this.yes = page.getByRole("button", { name: "Approve" });
    this.no = page.getByRole("button", { name: "Deny" });
    this.problem = page.locator("#log").getByRole("alert");
  }

  async visit(url) {
    await this.page.goto(url);
    await this.box.waitFor();
    return this;
  }

  async say(text) {
    await this.box.click();
    await this.page.keyboard.insertText(text);
    await this.sendButton.click();
  }

  // Waits until a text of the last answer is that sentence, whole and visible.
  answered(sentence) {
    return this.answers.last().locator("p.text:visible", { hasText: sentence }).waitFor();
  }

  // Waits until nothing is being worked on.
  quiet() {
    return until(() => this.page.locator("article[aria-busy=true]").count(), 0, "still working");
  }
}

// Polls until `look` sees `wanted`; fails with what it saw last.
export async function until(look, wanted, what) {
  const last = Date.now() + WAIT_MS_MAX;
  let seen;
  do {
    seen = await look();
    if (Object.is(seen, wanted)) return;
    await new Promise((wake) => setTimeout(wake, 50));
  } while (Date.now() < last);
  assert.equal(seen, wanted, what);
}

// A bad line between browser and program: it can stop in the middle of an answer. Everything else passes.
export class Line {
  #server;
  #events = Infinity; // of the next stream, before the line goes dead
  #dead = new Set();

  static async to(url) {
    const line = new Line();
    line.#server = createServer((from, to) => line.#pass(url, from, to));
    line.#server.listen(0, "127.0.0.1");
    await once(line.#server, "listening");
    line.url = `http://127.0.0.1:${line.#server.address().port}`;
    return line;
  }

  // The next answered message is heard for that many events, then nothing more, until the line is cut.
  goDeadAfter(events) { this.#events = events; }

  // Ends what is dead.
  cut() {
    for (const response of this.#dead) response.destroy();
    this.#dead.clear();
  }

  #pass(url, from, to) {
    const target = new URL(from.url, url);
    const headers = { ...from.headers, host: target.host };
    for (const name of ["origin", "referer"]) if (headers[name]) headers[name] = headers[name].replace(this.url, url);
    const onward = request(target, { method: from.method, headers }, (answer) => {
      to.writeHead(answer.statusCode, answer.headers);
      to.flushHeaders();
      if (!String(answer.headers["content-type"]).startsWith("text/event-stream") || this.#events === Infinity) return void answer.pipe(to);
      this.#hear(answer, to);
    });
    onward.on("error", () => to.destroy());
    from.pipe(onward);
  }

  #hear(answer, to) {
    let left = this.#events;
    this.#events = Infinity;
    this.#dead.add(to);
    answer.setEncoding("utf8").on("data", (text) => {
      for (const event of text.split(/(?<=\n\n)/)) {
        if (left > 0) to.write(event);
        if (event.includes("data:")) left -= 1;
      }
    });
  }

  async close() {
    this.cut();
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}
