"""The Python client library with keys and with tokens, over every toolset, against a server that wants to know who calls.

Usage: callers.py URL ISSUER TABLE PAGES. TABLE is callers.json; PAGES is the folder of the published pages of the tools. KEYS and PASSWORD in
the environment are the credentials of the business `corner`. Tokens the library gets itself: from our 401 to the authorization server and back.
"""

import asyncio
import datetime
import json
import logging
import os
import pathlib
import re
import sys
import traceback
import urllib.error
import urllib.parse
import urllib.request
from contextlib import AsyncExitStack, asynccontextmanager
from http.cookiejar import CookieJar
from importlib.metadata import version

from mcp import Client, MCPError
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from mcp.shared.auth import OAuthClientMetadata
from mcp_types import ElicitResult

URL, ISSUER = sys.argv[1:3]
TABLE = json.loads(pathlib.Path(sys.argv[3]).read_text())
KEYS, PASSWORD = json.loads(os.environ["KEYS"]), os.environ["PASSWORD"]
ORIGIN = URL.removesuffix("/mcp")
BACK = "http://127.0.0.1:1/back"  # nobody listens there: the address is read from the redirect
SCENES_SECONDS_MAX = 60
YES = ElicitResult(action="accept", content={"confirm": True})
ANSWERS = {"yes": YES, "no": ElicitResult(action="decline")}


def check(holds, *seen):
    if not holds:
        raise AssertionError(" | ".join(str(s) for s in seen))


def published():
    """Toolset and effect of every tool, as the pages say it."""
    effects = {"reads": "read", "writes,": "write", "asks": "commit"}
    for page in pathlib.Path(sys.argv[4]).glob("*.md"):
        for part in page.read_text().split("\n## ")[1:]:
            effect = re.search(r"^- What a call does: (\S+)", part, re.M)
            if effect:
                yield part.split("\n")[0], (page.stem, effects[effect[1].rstrip(".")])


TOOLS = dict(published())

# --- What happened, seen by another caller: plain HTTP with the owner's key, no library.


def observe(call, values):
    params = {"name": call["tool"], "arguments": filled(call, values)}
    headers = {
        "Authorization": f"Bearer {KEYS['owner']}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-06-18",
    }
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    with urllib.request.urlopen(urllib.request.Request(URL, body, headers), timeout=10) as answer:
        return json.load(answer)["result"]["structuredContent"]


def filled(call, values):
    return json.loads(re.sub(r"\{(\w+)\}", lambda name: values[name[1]], json.dumps(call["arguments"])))


def browser(bearer=None):
    """Somebody before the approval page: the owner, logged in, or whoever has this credential."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    opener.addheaders = [("Origin", ORIGIN)] + ([("Authorization", f"Bearer {bearer}")] if bearer else [])
    if not bearer:
        form = {"shop": "corner", "name": "owner", "password": PASSWORD}
        opener.open(f"{ORIGIN}/login", urllib.parse.urlencode(form).encode(), timeout=20).close()
    return opener


def answer_on_page(person, url, decision):
    try:
        with person.open(url, urllib.parse.urlencode({"decision": decision}).encode(), timeout=10) as page:
            return page.status
    except urllib.error.HTTPError as error:
        return error.code


# --- One connection: an era and a credential.


class Memory:
    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


def code_flow(name):
    """A person's log-in: the library registers, the browser comes back with a code."""
    came = {}

    async def go(url):
        async with create_mcp_http_client() as browsing:
            back = (await browsing.get(url)).headers["location"]
        came.update(urllib.parse.parse_qsl(urllib.parse.urlsplit(back).query))

    async def come_back():
        return AuthorizationCodeResult(code=came["code"], state=came["state"], iss=came["iss"])

    about = OAuthClientMetadata(client_name=name, redirect_uris=[BACK], grant_types=["authorization_code"], token_endpoint_auth_method="none")
    return OAuthClientProvider(URL, about, Memory(), go, come_back)


def bare_token(name):
    form = {"grant_type": "client_credentials", "client_id": name, "client_secret": f"{name}-secret", "resource": URL}
    with urllib.request.urlopen(f"{ISSUER}/token", urllib.parse.urlencode(form).encode(), timeout=10) as answer:
        return json.load(answer)["access_token"]


class Connection:
    def __init__(self, era, kind, name, by_header=False):
        self.era, self.says, self.asked, self.heard = era, None, [], []
        header = {"key": lambda: KEYS[name], "token": lambda: bare_token(name)}[kind] if by_header or kind == "key" else None
        self.bearer = header and header()
        self.auth = None
        if not header and name in ("owner", "climber"):
            self.auth = code_flow(name)
        elif not header:
            self.auth = ClientCredentialsOAuthProvider(URL, Memory(), name, f"{name}-secret", issuer=ISSUER)

    @asynccontextmanager
    async def open(self):
        self.http = create_mcp_http_client(auth=self.auth)
        if self.bearer:
            self.use(self.bearer)
        self.http.event_hooks = {"response": [self.hear]}
        mode = {"modern": "auto", "legacy": "legacy"}[self.era]
        async with self.http, Client(streamable_http_client(URL, http_client=self.http), mode=mode, elicitation_callback=self.ask) as self.client:
            revision = self.client.session.protocol_version
            check(revision == {"modern": "2026-07-28", "legacy": "2025-11-25"}[self.era], revision)
            yield self

    def use(self, bearer):
        self.http.headers["Authorization"] = f"Bearer {bearer}"

    async def hear(self, response):
        if str(response.request.url) == URL:
            self.heard.append((response.status_code, response.headers.get("www-authenticate", "")))

    async def ask(self, _context, params):
        self.asked.append(params.message)
        return ANSWERS[self.says]

    async def call(self, call, values, **more):
        return await self.client.call_tool(call["tool"], filled(call, values) | more)

    async def is_refused(self, call, values, status, *challenge):
        """A call that the server does not let through, and the library says so."""
        self.heard.clear()
        try:
            check(False, "let through", await self.call(call, values))
        except MCPError as error:
            check("error response" in error.error.message, error)
        refused = [said for code, said in self.heard if code == status]
        check(refused and all(part in refused[0] for part in challenge), self.heard)


def done(result):
    check(not result.is_error, result)
    check(json.loads(result.content[0].text) == result.structured_content, "text and structure differ", result)
    return result.structured_content


def failure(result):
    check(result.is_error and result.structured_content is None, "not refused", result)
    return json.loads(result.content[0].text)


# --- The scenes. Each has the connections of one kind of credential, by the name of who calls, and what its goods are called.


async def lists_what_each_may_use(by, _values):
    everything = sorted(TOOLS)
    may = {
        "owner": everything,
        "reader": [tool for tool in everything if TOOLS[tool][1] == "read"],
        "stock": [tool for tool in everything if TOOLS[tool][0] in ("inventory", "all")],
    }
    for name, expected in may.items():
        names = [tool.name for tool in (await by[name].client.list_tools()).tools]
        check(names == expected, name, names)


def uses(toolset):
    part = TABLE["toolsets"][toolset]

    async def scene(by, values):
        owner, read, write = by["owner"], part["read"], part.get("write")
        done(await owner.call(read, values))
        if write:
            seen = write.get("seen", read)
            before = observe(seen, values)
            done(await owner.call(write, values))
            check(observe(seen, values) != before, "not written", before)
        for asked in part.get("asked", []):
            await asks(owner, asked, asked.get("seen", read), values)

    scene.__name__ = f"{toolset}: reads" + (", writes" if part.get("write") else "") + (", asks before it acts" if part.get("asked") else "")
    return scene


async def asks(owner, call, seen, values):
    before = observe(seen, values)
    for says in ("no", "yes"):
        owner.says = says
        owner.asked.clear()
        once = {"idempotency_key": f"{call['tool']} {values['n']} {says}"}
        outcome = await owner.call(call, values, **once)
        if owner.era == "legacy":
            settled = await settles_on_the_page(owner, done(outcome), says)
            result = settled.get("result")
        else:
            check(len(owner.asked) == 1, "dialogs", owner.asked)
            if says == "no":
                check(failure(outcome)["code"] == "declined", outcome)
            result = done(outcome) if says == "yes" else None
        check((observe(seen, values) != before) == (says == "yes"), call["tool"], says, "before", before)
    after = observe(seen, values)
    check(done(await owner.call(call, values, **once)) == result, "another answer for the same key", result)
    check(len(owner.asked) == (owner.era == "modern") and observe(seen, values) == after, "asked or done again", owner.asked)
    values.update({name: str(result[member]) for name, member in call.get("keeps", {}).items()})


async def settles_on_the_page(owner, required, says):
    check(required["status"] == "confirmation_required" and not owner.asked, required)
    check(answer_on_page(OWNER, required["approval_url"], {"yes": "approve", "no": "deny"}[says]) == 200, "the page")
    settled = done(await owner.client.call_tool("confirm_action", {"confirmation_id": required["confirmation_id"]}))
    check(settled["status"] == {"yes": "done", "no": "declined"}[says] and settled["decided_by"] == "owner", settled)
    return settled


async def are_refused_beyond_their_scope(by, values):
    for toolset, part in TABLE["toolsets"].items():
        for call in ([part["write"]] if "write" in part else []) + part.get("asked", []):
            seen = call.get("seen", part["read"])
            before = observe(seen, values)
            scope = ":".join(TOOLS[call["tool"]])
            for name in ("reader", "stock") if toolset != "inventory" else ("reader",):
                await by[name].is_refused(call, values, 403, 'error="insufficient_scope"', scope)
            check(observe(seen, values) == before, "done", call["tool"])
    part = TABLE["toolsets"]["inventory"]
    before = observe(part["read"], values)
    done(await by["stock"].call(part["write"], values))
    check(observe(part["read"], values) != before, "within its scope")


async def come_in_by_one_refusal(by, _values):
    """What the first 401 says is all that the library needs to find the authorization server."""
    found = f'resource_metadata="{ORIGIN}/.well-known/oauth-protected-resource/mcp", scope="all:commit"'
    for name in ("owner", "reader", "stock", "other", "climber"):
        refused = [(index, said) for index, (status, said) in enumerate(by[name].heard) if status == 401]
        check([index for index, _ in refused] == [0] and refused[0][1].endswith(found), name, by[name].heard)


async def gets_more_when_it_needs_more(by, values):
    part = TABLE["toolsets"]["inventory"]
    before = observe(part["read"], values)
    climber = by["climber"]
    reading = [tool for tool in sorted(TOOLS) if TOOLS[tool][1] == "read"]
    check([tool.name for tool in (await climber.client.list_tools()).tools] == reading, "to begin with")
    climber.heard.clear()
    done(await climber.call(part["write"], values))
    check([status for status, _ in climber.heard][:2] == [403, 200], climber.heard)
    check(observe(part["read"], values) != before, "not written")


async def is_not_let_in_any_more(by, values):
    part = TABLE["toolsets"]["inventory"]
    before = observe(part["read"], values)
    kept = by["kept"]
    done(await kept.call(part["read"], values))
    kept.use({"key": lambda: KEYS["ended"], "token": lambda: bare_token("ended")}[values["kind"]]())
    # Of all scenes together fewer than the 60 bad credentials in a minute after which an address has to wait.
    for call in (part["write"], part["asked"][0]):
        await kept.is_refused(call, values, 401, 'error="invalid_token"', "resource_metadata=")
    check(observe(part["read"], values) == before, "done")
    late = Connection(kept.era, values["kind"], "ended")
    try:
        async with late.open():
            check(False, "let in")
    except* MCPError as errors:
        check("error response" in str(errors.exceptions), errors)
    check({401} == {status for status, _ in late.heard} and len(late.heard) <= 4, late.heard)


async def answers_for_nobody_else(by, values):
    part = TABLE["toolsets"]["billing"]
    call, seen = part["asked"][0], part["read"]
    owner, other = by["owner"], by["other"]
    before = observe(seen, values)
    if owner.era == "legacy":
        required = done(await owner.call(call, values))
        check(answer_on_page(browser(other.bearer or bare_token("other")), required["approval_url"], "approve") == 403, "the page")
        check(observe(seen, values) == before, "done for another")
        await settles_on_the_page(owner, required, "no")
    else:
        answered = lambda who, **more: who.client.session.call_tool(call["tool"], filled(call, values), allow_input_required=True, **more)
        asked = await answered(owner)
        for answer in (YES, ANSWERS["no"]):
            said = {"request_state": asked.request_state, "input_responses": {name: answer for name in asked.input_requests}}
            check(failure(await answered(other, **said))["code"] == "unknown_confirmation", "another's answer")
            check(observe(seen, values) == before, "done for another")
        check(failure(await answered(owner, **said))["code"] == "declined", "the owner's own no")
    check(observe(seen, values) == before, "done")


# --- All of it.


async def play(era, kind):
    day = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=3)
    values = {"n": f"python {era} {kind}", "day": day.isoformat(), "kind": kind}
    scenes = [lists_what_each_may_use, *map(uses, TABLE["toolsets"]), are_refused_beyond_their_scope, answers_for_nobody_else, is_not_let_in_any_more]
    who = {name: Connection(era, kind, name) for name in ("owner", "reader", "stock", "other")}
    who["kept"] = Connection(era, kind, "owner", by_header=True)
    if kind == "token":
        scenes = [come_in_by_one_refusal, *scenes, gets_more_when_it_needs_more]
        who["climber"] = Connection(era, kind, "climber")
    failed, title = 0, f"python mcp {version('mcp')}, {era} http, {kind}"
    try:
        async with asyncio.timeout(SCENES_SECONDS_MAX), AsyncExitStack() as open_ones:
            by = {name: await open_ones.enter_async_context(connection.open()) for name, connection in who.items()}
            for call in TABLE["made"]:
                done(await by["owner"].call(call, values))
            for scene in scenes:
                try:
                    await scene(by, values)
                    print(f"ok      {title}: {scene.__name__.replace('_', ' ')}", flush=True)
                except Exception as error:
                    failed += 1
                    print(f"FAILED  {title}: {scene.__name__.replace('_', ' ')}: {error!r}", flush=True)
                    traceback.print_exc(limit=4)
    except BaseException as error:  # an exception group, when a connection itself broke
        failed += 1
        print(f"FAILED  {title}: the connections: {error!r}", flush=True)
        traceback.print_exc(limit=4)
    return failed


async def main():
    sys.exit(1 if sum([await play(era, kind) for era in ("modern", "legacy") for kind in ("key", "token")]) else 0)


# What the library logs of a log-in that fails is what the scenes are about.
logging.disable(logging.CRITICAL)
OWNER = browser()
asyncio.run(main())
