// What a person does on the page of the tool server, where a client's question is answered that the client could not ask.

import assert from "node:assert/strict";
import { until } from "./stage.mjs";

const SOAP = { customer: "Zawadi", lines: [{ item: "soap", quantity: "1" }] };
const SENTENCE = "Are you sure you want to create a bill for new customer Zawadi: 1 Soap = 300 (Total: RWF 300)? Reply 'yes' to confirm.";

const ask = async (program) => {
  const asked = await program.tool("billing_create_bill", SOAP);
  assert.equal(asked.status, "confirmation_required");
  return asked;
};

export const approvalScenes = {
  async "a client's question is denied on its page, and stays denied"({ program, page }) {
    const before = await program.stock("soap");
    const asked = await ask(program);
    await page.goto(asked.approval_url);
    assert.equal(await page.locator(".message").textContent(), asked.preview.message);
    assert.equal(asked.preview.message, SENTENCE);
    await page.getByRole("button", { name: "No" }).click();
    await page.getByRole("status").waitFor();
    await page.goto(asked.approval_url);
    assert.equal(await page.getByRole("button").count(), 0);
    assert.equal(await program.stock("soap"), before);
  },

  async "a client's question is answered yes on its page, and the client collects the bill"({ program, page }) {
    const before = Number(await program.stock("soap"));
    const asked = await ask(program);
    await page.goto(asked.approval_url);
    assert.equal(await page.locator(".message").textContent(), asked.preview.message);
    assert.match(await page.locator("tr.total").innerText(), /RWF 300/);
    assert.equal(Number(await program.stock("soap")), before, "opening the page does nothing");
    await page.getByRole("button", { name: "Yes, do it" }).dblclick();
    await page.getByRole("status").waitFor();
    assert.match(await page.getByRole("status").innerText(), /^Created bill INV-\d+ for Zawadi\. Total: RWF 300\.$/);
    assert.equal(await page.getByRole("button").count(), 0);
    await page.goto(asked.approval_url);
    assert.match(await page.getByRole("status").innerText(), /bill INV-\d+/, "looking again shows the same");
    const collected = await program.tool("confirm_action", { confirmation_id: asked.confirmation_id });
    assert.match(JSON.stringify(collected), /bill INV-\d+/);
    await until(() => program.stock("soap").then(Number), before - 1, "sold once");
  },

  async "a question whose price has changed is asked anew, not answered"({ program, page }) {
    const asked = await program.tool("billing_create_bill", { customer: "Ali", lines: [{ item: "rice", quantity: "1" }] });
    await page.goto(asked.approval_url);
    await program.tool("inventory_update_item", { item: "rice", change: { unit_price: "1300" } });
    const before = await program.stock("rice");
    await page.getByRole("button", { name: "Yes, do it" }).click();
    await page.waitForURL((url) => url.href !== asked.approval_url);
    assert.match(await page.locator(".message").textContent(), /1 kg Rice @ 1,300 = 1,300/);
    assert.equal(await program.stock("rice"), before, "nothing is sold at a price nobody agreed to");
    await page.getByRole("button", { name: "No" }).click();
    await page.getByRole("status").waitFor();
  },

  async "an address that is nobody's question says so"({ program, page, expected }) {
    expected.push(/404/);
    const { approval_url } = await ask(program);
    const answer = await page.goto(`${approval_url.slice(0, -1)}${approval_url.endsWith("0") ? "1" : "0"}`);
    assert.equal(answer.status(), 404);
    await page.getByRole("heading", { name: "Not found" }).waitFor();
    assert.equal(await page.getByRole("button").count(), 0);
  },
};
