// Where people log in, as they do where the agent is not in local mode. Its tool server is, and adds the people.

import assert from "node:assert/strict";
import { Chat, openWindow } from "./stage.mjs";

const PASSWORD = "a long enough password";

const withPeople = async (program, scene) => {
  await program.stop();
  await program.start({ AGENT_LOCAL_MODE: "off" });
  try {
    await program.person({ subject: "ana", name: "Ana María", role: "staff", password: PASSWORD });
    await scene();
  } finally {
    await program.stop();
    await program.start();
  }
};

const fill = async (page, password) => {
  await page.getByLabel("Shop").fill("Demo");
  await page.getByLabel("Name").fill("Ana");
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
};

export const loginScenes = {
  async "a person logs in, is greeted, and leaves nothing behind"({ program, page, expected, browser }) {
    expected.push(/401/);
    await withPeople(program, async () => {
      await page.goto(program.url);
      assert.equal(new URL(page.url()).pathname, "/login");
      await fill(page, "a wrong password");
      await page.getByRole("alert").waitFor();
      assert.equal(await page.getByLabel("Name").inputValue(), "Ana", "what was typed stays");
      assert.equal(await page.getByLabel("Password").inputValue(), "");
      await fill(page, PASSWORD);
      const chat = await new Chat(page).visit(program.url);
      await page.getByText("Ana María").waitFor();
      await chat.say("Do we have rice?");
      await chat.answers.last().locator("p.text:visible").first().waitFor();
      await chat.quiet();
      assert.ok(await page.evaluate(() => Object.keys(localStorage).length), "kept while one is logged in");
      await page.getByRole("button", { name: "Log out" }).click();
      await page.getByRole("heading", { name: "Log in" }).waitFor();
      assert.equal(await page.evaluate(() => Object.keys(localStorage).length), 0);
      await page.goto(program.url);
      assert.equal(new URL(page.url()).pathname, "/login");

      // None of it needs a script.
      const plain = await openWindow(browser, { javaScriptEnabled: false });
      try {
        await plain.page.goto(program.url);
        await fill(plain.page, PASSWORD);
        await plain.page.getByText("Ana María").waitFor();
        await plain.page.getByRole("button", { name: "Log out" }).click();
        await plain.page.getByRole("heading", { name: "Log in" }).waitFor();
        assert.deepEqual(plain.complaints, []);
      } finally {
        await plain.context.close();
      }
    });
  },
};
