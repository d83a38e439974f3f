// Photographs every state of both pages, on a desk and on a phone, light and dark: node pictures.mjs AGENT FOLDER

import { join } from "node:path";
import { Program } from "./program.mjs";
import { Chat, open, openWindow } from "./stage.mjs";

const SIZES = {
  desk: { viewport: { width: 1280, height: 800 } },
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
};

const [, , path, folder] = process.argv;
const program = await Program.start(path);
const browser = await open();
try {
  await program.say("Add 500kg sugar at 160 per kg to grocery");
  for (const [size, options] of Object.entries(SIZES)) {
    for (const colorScheme of ["light", "dark"]) {
      const { context, page } = await openWindow(browser, { ...options, colorScheme });
      const shoot = (name) => page.screenshot({ path: join(folder, `${name}-${size}-${colorScheme}.png`) });
      await photographChat(new Chat(page), shoot);
      await photographApproval(page, shoot);
      await context.close();
    }
  }
} finally {
  await browser.close();
  await program.remove();
}

async function photographChat(chat, shoot) {
  await chat.visit(program.url);
  await shoot("1-empty");
  await chat.say("Add 20kg sugar");
  await chat.answered("Sugar");
  await chat.quiet();
  await chat.say("Create a bill for Ali: 2kg sugar and 1 milk");
  await chat.yes.waitFor();
  await chat.quiet();
  await shoot("2-question");
  await chat.yes.click();
  await chat.answered("Created bill");
  await chat.quiet();
  await shoot("3-approved");
  await chat.answers.nth(1).locator("summary").click();
  await shoot("4-details");
  await chat.answers.nth(1).locator("summary").click();
  await program.stop();
  try {
    await chat.say("Add 5 eggs");
    await chat.page.getByText("Trying again").waitFor();
    await shoot("5-trying");
    await chat.problem.waitFor({ timeout: 25_000 });
    await shoot("6-unreachable");
  } finally {
    await program.start();
  }
}

async function photographApproval(page, shoot) {
  const args = { customer: "Ali", lines: [{ item: "sugar", quantity: "2", unit: "kg" }, { item: "milk", quantity: "1" }] };
  const { approval_url } = await program.tool("billing_create_bill", args);
  await page.goto(approval_url);
  await shoot("7-approval-open");
  await page.getByRole("button", { name: "Yes, do it" }).click();
  await page.getByRole("status").waitFor();
  await shoot("8-approval-answered");
  await page.goto(new URL("/approvals/nonsense", approval_url).href);
  await shoot("9-approval-missing");
}
