// A browser's own EventSource, on the agent's own page: the program is killed under it.

import { chromium } from "playwright-core";
import { holds, play, same, until } from "./shop.mjs";

await play({
  "killed, started again, gone on with": async (shop) => {
    const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
    try {
      const page = await browser.newPage();
      await page.goto(shop.url);
      const before = parseFloat(await shop.stock("Flour"));
      const path = `/agent/chat/stream?session_id=browser&request_id=1&message=${encodeURIComponent("Increase flour by 1kg")}`;
      await shop.hold();
      await page.evaluate((path) => {
        const seen = (window.seen = { events: [], opened: 0 });
        const source = (window.source = new EventSource(path));
        source.onopen = () => { seen.opened += 1; };
        source.onmessage = (e) => { if (e.data === "[DONE]") source.close(); else seen.events.push([e.lastEventId, JSON.parse(e.data).type]); };
      }, path);
      const seen = () => page.evaluate(() => window.seen);
      await until("the call is shown", async () => (await seen()).events.some(([, type]) => type === "tool-input-available"));
      await shop.agent.end("SIGKILL");
      await shop.agent.start();
      shop.goOn();
      await until("the end", () => page.evaluate(() => window.source.readyState === EventSource.CLOSED));
      const { events, opened } = await seen();
      holds(opened > 1, "it never came back");
      same(events.at(-1)[1], "finish", "the end");
      same(events.filter(([, type]) => type === "start").length, 1, "beginnings");
      same(events.filter(([, type]) => type === "tool-output-available").length, 1, "the call's results");
      same(parseFloat(await shop.stock("Flour")), before + 1, "done once");
    } finally {
      await browser.close();
    }
  },
});
