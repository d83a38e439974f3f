// The `eventsource` package, which does what browsers do: it comes back by itself, with `Last-Event-ID`.

import { EventSource } from "eventsource";
import { holds, play, same, until } from "./shop.mjs";

const NAMES = ["started", "step_started", "step_finished", "text_started", "text_delta", "text_finished", "tool_called", "tool_returned", "finished"];

// Everything that comes, of whatever name, with its place.
function listen(shop, path, { stopsAt } = {}) {
  const source = new EventSource(shop.url + path);
  const seen = { source, events: [], opened: 0 };
  const take = (event) => {
    seen.events.push({ id: event.lastEventId, name: event.type, data: event.data });
    if (event.data === stopsAt) source.close();
  };
  source.onopen = () => { seen.opened += 1; };
  for (const name of ["message", ...NAMES]) source.addEventListener(name, take);
  return seen;
}

const told = (events) => events.filter((e) => e.data !== "[DONE]").map((e) => e.data);

function scene(protocol, key, signal) {
  return async (shop) => {
    const before = parseFloat(await shop.stock("Flour"));
    const path = `/agent/chat/stream?session_id=${key}&message=${encodeURIComponent("Increase flour by 1kg")}&request_id=${key}&protocol=${protocol}`;
    await shop.hold();
    const cut = listen(shop, path, { stopsAt: "[DONE]" });
    await until("the call is shown", () => cut.events.some((e) => /inventory_update_item/.test(e.data)));
    // The tool server must answer while the program stops, or it waits for it.
    if (signal === "SIGTERM") shop.goOn();
    await shop.agent.end(signal);
    await shop.agent.start();
    shop.goOn();
    await until("it has stopped coming back", () => cut.source.readyState === EventSource.CLOSED);
    holds(cut.opened > 1, "it never came back");
    same(parseFloat(await shop.stock("Flour")), before + 1, "done once");
    // Whoever reads it in one piece sees the same.
    const whole = listen(shop, path, { stopsAt: "[DONE]" });
    await until("the whole", () => whole.source.readyState === EventSource.CLOSED);
    same(told(cut.events), told(whole.events), "what came in two pieces");
    return cut;
  };
}

await play({
  "ui: killed, started again, gone on with": async (shop) => {
    const { events } = await scene("ui", "ui-kill", "SIGKILL")(shop);
    same(events.at(-1).data, "[DONE]", "the end");
  },
  "ui: told to stop, started again, gone on with": scene("ui", "ui-term", "SIGTERM"),
  "agui: killed, started again, gone on with, 204 at the end": async (shop) => {
    const { events } = await scene("agui", "agui-kill", "SIGKILL")(shop);
    same(JSON.parse(events.at(-1).data).type, "RUN_FINISHED", "the end");
  },
  "native: killed, started again, gone on with, 204 at the end": async (shop) => {
    const { events } = await scene("native", "native-kill", "SIGKILL")(shop);
    same(events.at(-1).name, "finished", "the end, under its name");
    const seqs = events.map((e) => JSON.parse(e.data).seq);
    same(seqs, seqs.map((_, i) => i + 1), "every event once, in order");
  },
});
