// Plays every scene in a window of its own and says how many passed. All share one shop, so each sells its own thing.

import { chatScenes } from "./chat.mjs";
import { approvalScenes } from "./approval.mjs";
import { loginScenes } from "./login.mjs";
import { Program } from "./program.mjs";
import { open, openWindow } from "./stage.mjs";

const SCENE_MS_MAX = 45_000;

async function play([name, act], program, browser) {
  const { context, page, complaints } = await openWindow(browser);
  // A scene names the complaints that belong to it.
  const scene = { program, browser, context, page, expected: [] };
  let late;
  try {
    await Promise.race([
      act(scene),
      new Promise((_, fail) => { late = setTimeout(() => fail(new Error("took too long")), SCENE_MS_MAX); }),
    ]);
    const surprises = complaints.filter((text) => !scene.expected.some((known) => known.test(text)));
    if (surprises.length) throw new Error(`the page complained:\n${surprises.join("\n")}`);
  } catch (error) {
    const seen = await page.locator("body").innerText({ timeout: 1_000 }).catch(() => "(the page cannot be read)");
    throw new Error(`${error.stack}\n--- the page showed:\n${seen}`);
  } finally {
    clearTimeout(late);
    await context.close();
  }
}

const program = await Program.start(process.argv[2]);
let browser, passed = 0, failed = 0;
try {
  browser = await open();
  for (const scene of [...Object.entries(chatScenes), ...Object.entries(approvalScenes), ...Object.entries(loginScenes)]) {
    const began = Date.now();
    try {
      await program.ensure();
      await play(scene, program, browser);
      passed += 1;
      console.log(`ok      ${scene[0]} (${Date.now() - began} ms)`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${scene[0]}\n${error.message}\n--- the program said:\n${program.told.split("Ctrl-C stops it.\n").at(-1)}`);
    }
  }
} finally {
  await browser?.close();
  await program.remove();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed || !passed ? 1 : 0;
