"""The Python client library against mcp-server: both eras, HTTP and stdio, with every answer a person can give.

Usage: scenes.py URL COMMAND. COMMAND is the mcp-server program; for stdio it shares the shop of the server at URL.
"""

import asyncio
import json
import os
import sys
import traceback
import urllib.parse
import urllib.request
from importlib.metadata import version

from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import ElicitResult, PromptReference, ResourceTemplateReference

URL, COMMAND = sys.argv[1:3]
SCENE_SECONDS_MAX = 60
ANSWERS = {
    "yes": ElicitResult(action="accept", content={"confirm": True}),
    "no": ElicitResult(action="decline"),
    "cancel": ElicitResult(action="cancel"),
}


def check(holds, *seen):
    if not holds:
        raise AssertionError(" | ".join(str(s) for s in seen))


# --- What happened, seen by another program: plain HTTP, no library.


def observe(tool, **arguments):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-06-18",
    }
    request = urllib.request.Request(URL, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["result"]["structuredContent"]


def stock(item):
    return observe("inventory_get_item", item=item)["item"]["stock"]["quantity"]


def bills():
    page, seen = observe("billing_list_bills", limit=100), 0
    while True:
        seen += len(page["bills"])
        if not page.get("next_cursor"):
            return seen
        page = observe("billing_list_bills", limit=100, cursor=page["next_cursor"])


def answer_on_page(url, decision):
    with urllib.request.urlopen(url, timeout=10) as page:
        check(b"Reply" in page.read() or page.status == 200, "the page of the question")
    form = urllib.parse.urlencode({"decision": decision}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, form), timeout=10) as page:
        check(page.status == 200, page.status)


# --- One connection: an era, a transport, and what the person behind it says.


class Connection:
    def __init__(self, era, transport, says):
        self.era, self.transport, self.says, self.asked = era, transport, says, []
        self.name = f"{era} {transport} {says or 'unaskable'}"
        # One shop serves every scene, so each has goods of its own.
        self.item = f"Glue {era} {transport} {says or 'unaskable'}"

    def client(self):
        target = URL
        if self.transport == "stdio":
            environment = {name: os.environ[name] for name in ("PATH", "COUNTERSIGN_HOME", "MCP_BIND", "RUST_LOG")}
            server = StdioServerParameters(command=COMMAND, args=["--stdio"], env=environment)
            target = stdio_client(server, errlog=sys.stderr)
        asks = self.says and self.ask
        return Client(target, mode={"modern": "auto", "legacy": "legacy"}[self.era], elicitation_callback=asks)

    async def ask(self, _context, params):
        self.asked.append(params.message)
        return ANSWERS[self.says]

    # Whether the person can be asked through this connection at all.
    def askable(self):
        return self.says is not None and (self.era == "modern" or self.transport == "stdio")


def failure(result):
    check(result.is_error, "not refused", result)
    check(result.structured_content is None, "a failure is text only", result)
    said = json.loads(result.content[0].text)
    check(said["code"] and said["message"] and said["hint"], said)
    return said


def done(result):
    check(not result.is_error, result)
    check(json.loads(result.content[0].text) == result.structured_content, "text and structure differ", result)
    return result.structured_content


# --- The scenes.


def types_of(schema):
    if isinstance(schema, dict):
        if "type" in schema and not isinstance(schema["type"], dict):
            yield schema["type"]
        for inner in schema.values():
            yield from types_of(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from types_of(inner)


async def lists_tools(connection, client):
    revision = client.session.protocol_version
    check(revision == {"modern": "2026-07-28", "legacy": "2025-11-25"}[connection.era], revision)
    tools = (await client.list_tools()).tools
    names = [tool.name for tool in tools]
    check(names == sorted(names) and "billing_create_bill" in names, names)
    for tool in tools:
        check(tool.title and tool.description and tool.output_schema and tool.annotations, tool.name)
        check(all(isinstance(t, str) and t != "null" for t in types_of(tool.input_schema)), tool.name, "nullable")


async def reads(connection, client):
    found = done(await client.call_tool("inventory_get_item", {"item": "jabon"}))
    check(found["item"]["name"] == "Soap", found)


async def writes_once_under_a_key(connection, client):
    sold = {"name": connection.item, "unit": "each", "unit_price": "100", "quantity": "10"}
    key = {"idempotency-key": f"add {connection.item}"}
    first = done(await client.call_tool("inventory_add_item", sold, meta=key))
    again = done(await client.call_tool("inventory_add_item", sold, meta=key))
    check(first == again, "another answer for the same key", first, again)
    check(stock(connection.item) == "10", stock(connection.item))
    other = await client.call_tool("inventory_add_item", sold | {"quantity": "11"}, meta=key)
    check(failure(other)["code"] == "idempotency_conflict", other)
    check(stock(connection.item) == "10", stock(connection.item))


async def reads_resources(connection, client):
    listed = [str(resource.uri) for resource in (await client.list_resources()).resources]
    check({"countersign://price-list", "countersign://opening-hours.md"} <= set(listed), listed)
    for uri in listed:
        content = (await client.read_resource(uri)).contents[0]
        check(content.text, uri)
        if content.mime_type == "application/json":
            json.loads(content.text)
    templates = [template.uri_template for template in (await client.list_resource_templates()).resource_templates]
    check("countersign://items/{name}" in templates, templates)
    soap = json.loads((await client.read_resource("countersign://items/Soap")).contents[0].text)
    check(soap["item"]["name"] == "Soap", soap)


async def starts_from_prompts(connection, client):
    prompts = {prompt.name: prompt for prompt in (await client.list_prompts()).prompts}
    check(set(prompts) == {"daily_summary", "end_of_day", "reorder_list"}, prompts)
    for name in prompts:
        said = await client.get_prompt(name)
        check(len(said.messages) > 1 and all(message.role == "user" for message in said.messages), name, said)


async def completes_what_is_begun(connection, client):
    of_items = ResourceTemplateReference(uri="countersign://items/{name}")
    items = (await client.complete(of_items, {"name": "name", "value": "soa"})).completion
    check("Soap" in items.values, items)
    of_days = PromptReference(name="daily_summary")
    days = (await client.complete(of_days, {"name": "day", "value": "yest"})).completion
    check(days.values == ["yesterday"] and days.total == 1, days)


async def is_told_what_went_wrong(connection, client):
    said = failure(await client.call_tool("inventory_get_item", {"item": "plutonium"}))
    check(said["code"] == "unknown_item", said)
    said = failure(await client.call_tool("inventory_get_item", {"item": 7}))
    check(said["code"] == "invalid_arguments" and said["field"] == "item", said)
    try:
        await client.call_tool("drop_tables", {})
        check(False, "an unknown tool answered")
    except MCPError as error:
        check(error.error.code == -32602 and "drop_tables" in error.error.message, error)


async def asks_before_it_bills(connection, client):
    before = bills()
    sale = {
        "lines": [{"item": connection.item, "quantity": "2"}],
        "idempotency_key": f"bill {connection.item}",
    }
    outcome = await client.call_tool("billing_create_bill", sale)
    expected_dialogs = 1 if connection.askable() else 0
    check(len(connection.asked) == expected_dialogs, "dialogs", connection.asked)
    check(all("create a bill" in message and "RWF 200" in message for message in connection.asked), connection.asked)
    if connection.askable() and connection.says == "yes":
        number = done(outcome)["number"]
    elif connection.askable() and connection.says == "no":
        check(failure(outcome)["code"] == "declined", outcome)
        number = None
    else:
        number = await settles_on_the_page(connection, client, done(outcome), before)
    check(bills() == before + (number is not None), "bills", before, bills())
    check(stock(connection.item) == ("8" if number else "10"), "stock", stock(connection.item))
    if number:
        again = done(await client.call_tool("billing_create_bill", sale))
        check(again["number"] == number and len(connection.asked) == expected_dialogs, "asked again", again)
        check(bills() == before + 1 and stock(connection.item) == "8", "done twice")
        check(done(await client.call_tool("billing_get_bill", {"bill": number}))["bill"]["number"] == number)


# A dialog that was closed leaves the question open, so there the person thinks better of it and says yes on the page.
async def settles_on_the_page(connection, client, required, before):
    check(required["status"] == "confirmation_required", required)
    check("token" not in required, "a model could approve itself", required)
    question = {"confirmation_id": required["confirmation_id"]}
    check(done(await client.call_tool("confirm_action", question))["status"] == "open", "not open")
    check(bills() == before and stock(connection.item) == "10", "done without a yes")
    denied = connection.says == "no"
    answer_on_page(required["approval_url"], "deny" if denied else "approve")
    outcome = done(await client.call_tool("confirm_action", question))
    check(outcome["status"] == ("declined" if denied else "done"), outcome)
    return None if denied else outcome["result"]["number"]


async def play(connection):
    scenes = [
        lists_tools, reads, reads_resources, starts_from_prompts, completes_what_is_begun, writes_once_under_a_key, is_told_what_went_wrong,
        asks_before_it_bills,
    ]
    failed, scene = 0, None
    try:
        async with asyncio.timeout(SCENE_SECONDS_MAX), connection.client() as client:
            for scene in scenes:
                title = f"python mcp {version('mcp')}, {connection.name}: {scene.__name__.replace('_', ' ')}"
                try:
                    await scene(connection, client)
                    print(f"ok      {title}", flush=True)
                except Exception as error:
                    failed += 1
                    print(f"FAILED  {title}: {error!r}", flush=True)
                    traceback.print_exc(limit=4)
    except BaseException as error:  # an exception group, when the connection itself broke
        failed += 1
        print(f"FAILED  python mcp, {connection.name}: the connection, after {scene and scene.__name__}: {error!r}", flush=True)
        traceback.print_exc(limit=4)
    return failed


async def main():
    connections = [
        Connection(era, transport, says)
        for era in ("modern", "legacy")
        for transport in ("http", "stdio")
        for says in ("yes", "no", "cancel", None)
    ]
    failed = sum([await play(connection) for connection in connections])
    sys.exit(1 if failed else 0)


asyncio.run(main())
