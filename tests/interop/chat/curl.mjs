// The commands of README, as they stand there, in their order. Only the ports and the ids of a sample are put in their place.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { holds, play, same } from "./shop.mjs";

const bash = promisify(execFile);
const COMMAND_MS_MAX = 30_000;

// Every command of a shell block that begins with curl, its continued lines joined.
const readme = await readFile(process.env.README, "utf8");
const blocks = [...readme.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block]) => block.replaceAll("\\\n", " "));
const commands = blocks.flatMap((block) => block.split("\n")).filter((line) => line.startsWith("curl "));

const scenes = {};
let approval;
commands.forEach((command, index) => {
  const title = command.replace(/\s+/g, " ").slice(0, 90);
  scenes[`${index + 1}. ${title}`] = async (shop) => {
    let ours = command
      .replaceAll("http://127.0.0.1:8000", shop.url)
      .replaceAll("http://127.0.0.1:8001/mcp", shop.tools);
    if (ours.includes("/agent/approvals/")) {
      holds(approval, "no question was asked before its answer");
      ours = ours.replace(/\/agent\/approvals\/[0-9a-f-]{36}/, `/agent/approvals/${approval}`);
    }
    holds(!ours.includes("127.0.0.1:80"), `another address: ${ours}`);
    const { stdout } = await bash("bash", ["-c", ours], { timeout: COMMAND_MS_MAX });
    if (/^retry: /.test(stdout)) {
      holds(stdout.endsWith("data: [DONE]\n\n") || /"RUN_FINISHED"|event: (finished|waiting)/.test(stdout), `cut off: ${stdout}`);
      return;
    }
    const answer = JSON.parse(stdout);
    // A problem has a status that is a number, an error of MCP says so.
    holds(typeof answer.status !== "number" && !answer.error && !answer.result?.isError, stdout);
    approval = answer.confirmations?.[0]?.approval_id ?? approval;
    if (answer.decision) same(answer.outcome.status, "success", "what the answer came to");
  };
});
holds(commands.length >= 4, `README has only ${commands.length} commands of curl: the search is broken`);
await play(scenes);
