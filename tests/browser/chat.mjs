// What a shopkeeper does on the chat page.

import assert from "node:assert/strict";
import { Chat, Line, openWindow, until } from "./stage.mjs";

const MILK = "Are you sure you want to create a bill for Ali: 1 Milk = 900 (Total: RWF 900)? Reply 'yes' to confirm.";

const BILL = /^Created bill INV-\d+ for Ali\. Total: RWF 900\.$/;

const noWider = async (page) => {
  const [content, window] = await page.evaluate(() => [
    Math.max(document.documentElement.scrollWidth, document.querySelector("main").scrollWidth - document.querySelector("main").clientWidth + innerWidth),
    innerWidth,
  ]);
  assert.ok(content <= window, `${content} px of content in a window of ${window} px`);
};

async function billFor(chat, customer, lines) {
  await chat.say(`Create a bill for ${customer}: ${lines}`);
  await chat.yes.waitFor();
  await chat.quiet();
}

export const chatScenes = {
  async "an item is added, by the first example, and the answer names what was done"({ program, page }) {
    const chat = await new Chat(page).visit(program.url);
    await page.getByRole("button", { name: "Add 20kg sugar at 160 per kg to grocery" }).click();
    await chat.answered("Added 20 kg Sugar at RWF 160 per kg (grocery).");
    await chat.quiet();
    assert.equal(await page.locator("#welcome").isVisible(), false, "the examples made room");
    assert.equal(await program.stock("sugar"), "20 kg");
  },

  async "a bill is asked about in the server's words, and a double click on yes writes it once"({ program, page }) {
    const sentence = "Are you sure you want to create a bill for Ali: 2 kg Sugar @ 160 = 320, 1 Shampoo = 250 (Total: RWF 570)? Reply 'yes' to confirm.";
    const chat = await new Chat(page).visit(program.url);
    await billFor(chat, "Ali", "2kg sugar and 1 shampoo");
    assert.equal(await chat.questions.locator("p").first().textContent(), sentence);
    assert.equal(await page.locator("#log").getByText(sentence, { exact: true }).filter({ visible: true }).count(), 1, "it is shown once");
    assert.equal(await program.stock("sugar"), "20 kg", "nothing is done before the yes");
    await chat.yes.dblclick();
    await chat.answered(/^Created bill INV-\d+ for Ali\. Total: RWF 570\.$/);
    await chat.quiet();
    await page.getByText("Approved", { exact: false }).first().waitFor();
    assert.equal(await chat.yes.count(), 0, "an answered question has no buttons");
    assert.equal(await chat.answers.locator("p.text:visible").count(), 1, "one reply");
    assert.equal(await program.stock("sugar"), "18 kg");
    assert.equal(await program.stock("shampoo"), "11");
  },

  async "no means nothing is done"({ program, page }) {
    const before = await program.stock("milk");
    const chat = await new Chat(page).visit(program.url);
    await billFor(chat, "Ali", "1 milk");
    await chat.no.click();
    await page.getByText("Denied", { exact: false }).first().waitFor();
    await chat.quiet();
    assert.match(await chat.questions.locator(".status").textContent(), /^Denied.*Nothing was done\.$/);
    assert.equal(await chat.no.count(), 0);
    assert.equal(await program.stock("milk"), before);
  },

  async "maybe is no answer: it is asked again, and yes in words is one"({ program, page }) {
    const before = Number(await program.stock("milk"));
    const chat = await new Chat(page).visit(program.url);
    await billFor(chat, "Ali", "1 milk");
    await chat.say("maybe");
    await chat.answers.nth(1).waitFor();
    await chat.quiet();
    assert.equal(Number(await program.stock("milk")), before, "maybe did nothing");
    assert.equal(await chat.answers.nth(1).getByRole("region", { name: "Question" }).locator("p").first().textContent(), MILK);
    assert.equal(await chat.yes.count(), 1, "the question is still open, and there is one of it");
    await chat.say("yes");
    await chat.answered(BILL);
    await chat.quiet();
    assert.equal(await chat.yes.count(), 0);
    assert.equal(Number(await program.stock("milk")), before - 1);
  },

  async "a reload keeps the conversation, and its open question can be answered"({ program, page }) {
    const before = Number(await program.stock("milk"));
    const chat = await new Chat(page).visit(program.url);
    await chat.say("What do we have in stock?");
    await chat.answers.first().locator("p.text:visible").waitFor();
    await chat.quiet();
    await billFor(chat, "Ali", "1 milk");
    const shown = await page.locator("#log .said, #log .text, #log .question p:first-child").allTextContents();
    await page.reload();
    await chat.yes.waitFor();
    await chat.quiet();
    assert.deepEqual(await page.locator("#log .said, #log .text, #log .question p:first-child").allTextContents(), shown);
    await chat.yes.click();
    await chat.answered(BILL);
    await chat.quiet();
    assert.equal(Number(await program.stock("milk")), before - 1);
  },

  async "a reload in the middle of an answer goes on with it, and the work is done once"({ program, page, expected }) {
    expected.push(/ERR_INCOMPLETE_CHUNKED_ENCODING/);
    const before = Number(await program.stock("eggs"));
    const line = await Line.to(program.url);
    try {
      const chat = await new Chat(page).visit(line.url);
      line.goDeadAfter(3);
      await chat.say("Add 5 eggs");
      await page.locator("article[aria-busy=true]").waitFor();
      await until(() => program.stock("eggs").then(Number), before + 5, "the work goes on without the page");
      assert.equal(await chat.answers.locator("p.text:visible").count(), 0, "the page has not heard of it");
      await page.reload();
      await chat.answered(/Eggs/);
      await chat.quiet();
      assert.equal(await chat.answers.count(), 1);
      assert.equal(await page.locator(".said").textContent(), "You said: Add 5 eggs");
      assert.equal(Number(await program.stock("eggs")), before + 5);
    } finally {
      await line.close();
    }
  },

  async "a line that breaks in the middle of an answer is taken up where it broke"({ program, page, expected }) {
    expected.push(/ERR_INCOMPLETE_CHUNKED_ENCODING/);
    const before = Number(await program.stock("eggs"));
    const line = await Line.to(program.url);
    try {
      const chat = await new Chat(page).visit(line.url);
      line.goDeadAfter(3);
      await chat.say("Add 7 eggs");
      await until(() => program.stock("eggs").then(Number), before + 7, "the work goes on without the page");
      line.cut();
      await chat.answered(/Eggs/);
      await chat.quiet();
      assert.equal(await chat.answers.locator("p.text:visible").count(), 1, "nothing is shown twice");
      assert.equal(await chat.problem.count(), 0);
      assert.equal(Number(await program.stock("eggs")), before + 7);
    } finally {
      await line.close();
    }
  },

  async "a question answered elsewhere shows so, by itself"({ program, page }) {
    const chat = await new Chat(page).visit(program.url);
    await billFor(chat, "Ali", "1 milk");
    const sentence = await chat.questions.locator("p").first().getAttribute("id");
    const id = sentence.replace("question-", "");
    const { status, body } = await program.api(`/agent/approvals/${id}`, { decision: "approve" });
    assert.equal(status, 200, JSON.stringify(body));
    await chat.answered(BILL);
    await chat.quiet();
    assert.match(await chat.questions.locator(".status").textContent(), /^Approved/);
    assert.equal(await chat.yes.count(), 0);
  },

  async "a no that comes after somebody's yes is refused, and what was done is shown"({ program, page, context, expected }) {
    const chat = await new Chat(page).visit(program.url);
    await billFor(chat, "Ali", "1 milk");
    const id = (await chat.questions.locator("p").first().getAttribute("id")).replace("question-", "");
    // The page cannot learn of it: only its answer gets through.
    await context.route("**/stream", (route) => route.abort());
    await program.api(`/agent/approvals/${id}`, { decision: "approve" });
    expected.push(/409/, /ERR_FAILED/);
    await chat.no.click();
    await chat.questions.locator(".status.bad").waitFor();
    assert.equal(await chat.yes.count() + await chat.no.count(), 0, "it cannot be answered again");
    await context.unroute("**/stream");
    await page.reload();
    await chat.answered(BILL);
  },

  async "a message of 2,001 characters is refused in a sentence and stays to be shortened"({ program, page }) {
    const chat = await new Chat(page).visit(program.url);
    const long = "a".repeat(2_001);
    await chat.say(long);
    await page.getByText("1 character too long. Shorten it, or send it in parts.").first().waitFor();
    assert.equal(await chat.box.inputValue(), long, "what was written is not lost");
    assert.equal(await chat.answers.count(), 0, "nothing was sent");
    await chat.box.press("End");
    await chat.box.press("Backspace");
    await page.getByText("0 characters left.").first().waitFor();
    await chat.sendButton.click();
    await chat.answers.first().locator("p.text:visible").waitFor();
    const refused = await program.api("/agent/chat", { message: long });
    assert.equal(refused.status, 422, "the server holds the limit too");
  },

  async "HTML in a message is text, wherever it comes back"({ program, page }) {
    const chat = await new Chat(page).visit(program.url);
    const nasty = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
    await chat.say(nasty);
    await chat.answers.first().locator("p.text:visible").waitFor();
    await chat.quiet();
    assert.equal(await page.locator(".said").textContent(), `You said: ${nasty}`);
    await chat.say("Create a bill for <b>Zoe</b>: 1 milk");
    await chat.answers.nth(1).waitFor();
    await chat.quiet();
    assert.equal(await page.locator("#log").locator("b, img, script, iframe").count(), 0);
    assert.equal(await page.title(), "Countersign");
  },

  async "on a phone nothing is wider than the screen"({ program, browser }) {
    const { context, page, complaints } = await openWindow(browser, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    try {
      const chat = await new Chat(page).visit(program.url);
      await noWider(page);
      await chat.say(`https://shop.example/${"x".repeat(300)}`);
      await chat.answers.first().locator("p.text:visible").waitFor();
      await chat.quiet();
      await billFor(chat, "Maximiliana Bartholomea Featherstonehaugh", "1 milk, 2 kg flour, 1 kg rice and 12 eggs");
      for (const details of await page.locator("details.tool").all()) await details.locator("summary").click();
      await noWider(page);
      for (const choice of [chat.yes, chat.no, chat.sendButton]) {
        const { width, height } = await choice.boundingBox();
        assert.ok(width >= 44 && height >= 44, `a finger needs more than ${width} x ${height}`);
      }
      assert.deepEqual(complaints, []);
    } finally {
      await context.close();
    }
  },

  async "the keyboard is enough"({ program, page }) {
    const chat = await new Chat(page).visit(program.url);
    assert.equal(await chat.box.evaluate((box) => box === document.activeElement), true, "writing can begin at once");
    await page.keyboard.type("Create a bill for Ali:");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("1 milk");
    assert.equal(await chat.box.inputValue(), "Create a bill for Ali:\n1 milk", "Shift and Enter make a line");
    await page.keyboard.press("Enter");
    await chat.yes.waitFor();
    await chat.quiet();
    const focused = () => page.evaluate(() => document.activeElement.textContent);
    for (let step = 0; step < 5 && await focused() !== "Approve"; step += 1) await page.keyboard.press("Shift+Tab");
    assert.equal(await focused(), "Approve", "the answer is a few steps back from the box");
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, "none", "one sees where one is");
    await page.keyboard.press("Enter");
    await chat.answered(BILL);
    await chat.quiet();
    assert.equal(await chat.box.evaluate((box) => box === document.activeElement), true, "the next message can be written");
    assert.match(await page.locator("#announcer").textContent(), /bill INV-\d+/, "a screen reader hears the reply");
  },

  async "a new conversation begins empty and knows nothing of the old question"({ program, page }) {
    const chat = await new Chat(page).visit(program.url);
    await billFor(chat, "Ali", "1 milk");
    assert.equal(await chat.questions.locator("p").first().textContent(), MILK);
    await page.getByRole("button", { name: "New conversation" }).click();
    await page.getByRole("heading", { name: "What should be done?" }).waitFor();
    assert.equal(await chat.answers.count(), 0);
    const before = await program.stock("milk");
    await chat.say("yes");
    await chat.answers.first().locator("p.text:visible").waitFor();
    await chat.quiet();
    assert.equal(await program.stock("milk"), before, "a yes to nothing does nothing");
  },

  async "the program is gone and comes back while the page tries: the message is done once"({ program, page, expected }) {
    expected.push(/ERR_CONNECTION_REFUSED/, /ERR_INCOMPLETE_CHUNKED_ENCODING/, /ERR_CONNECTION_RESET/);
    const before = Number(await program.stock("eggs"));
    const chat = await new Chat(page).visit(program.url);
    await program.kill();
    await chat.say("Add 3 eggs");
    await page.getByText("Unable to reach the system. Trying again").waitFor();
    await program.start();
    await page.locator("#log p.text:visible", { hasText: "Eggs" }).waitFor({ timeout: 20_000 });
    await chat.quiet();
    assert.equal(Number(await program.stock("eggs")), before + 3);
  },

  async "the program stays away: a sentence says so, and trying again works once it is back"({ program, page, expected }) {
    expected.push(/ERR_CONNECTION_REFUSED/);
    const before = Number(await program.stock("eggs"));
    const chat = await new Chat(page).visit(program.url);
    await program.stop();
    try {
      await chat.say("Add 2 eggs");
      await chat.problem.waitFor({ timeout: 25_000 });
      assert.match(await chat.problem.innerText(), /^Unable to reach the system\. Please try again\./);
    } finally {
      await program.start();
    }
    await page.getByRole("button", { name: "Try again" }).click();
    await chat.answered(/Eggs/);
    await chat.quiet();
    assert.equal(await chat.problem.count(), 0, "the complaint is gone");
    assert.equal(Number(await program.stock("eggs")), before + 2);
  },
};
