// An OAuth 2.1 authorization server for the scenes with tokens: metadata (RFC 8414), keys (RFC 7517), registration (RFC 7591), the code
// with PKCE and client credentials, made out to the resource that is asked for (RFC 8707), as JWTs (RFC 9068). Its person says yes at once.
// It refuses whatever a client leaves out, so that a token stands for a whole discovery. Usage: issuer.mjs; prints its name.

import { createHash, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { createServer } from "node:http";

const LASTS_SECONDS = 600;
const BODY_BYTES_MAX = 65_536;

// What each confidential client may have, whatever it asks for; its secret is `<name>-secret`.
const CLIENTS = {
  owner: { account: "owner", scope: "all:commit" },
  reader: { account: "owner", scope: "all:read" },
  stock: { account: "owner", scope: "inventory:commit" },
  other: { account: "ana", scope: "all:commit" },
  ended: { account: "owner", scope: "all:commit", lasts: -60 },
};
// What a client that registers itself gets, by the name it gives: everything, or first to read and then what it asks for by name.
const GRANTS = {
  owner: () => "all:commit",
  climber: (asked) => ["all:read", ...asked.split(" ").filter((scope) => scope && !scope.startsWith("all:"))].join(" "),
};

const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const key = { ...publicKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg: "ES256" };
const registered = new Map();
const codes = new Map();

class Refused extends Error {
  constructor(error, why) { super(why); this.error = error; }
}
const demand = (holds, error, why) => { if (!holds) throw new Refused(error, why); };
const base64 = (text) => Buffer.from(text).toString("base64url");

function token({ account, scope, lasts = LASTS_SECONDS }, client, resource) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: issuer, aud: resource, sub: `${account}@login`, tenant: "corner", client_id: client, scope, iat: now, exp: now + lasts, jti: randomUUID() };
  const signed = `${base64(JSON.stringify({ alg: "ES256", typ: "at+jwt", kid: key.kid }))}.${base64(JSON.stringify(claims))}`;
  const signature = sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" });
  // The client is told that it lasts, so that only the server can find it expired.
  return { access_token: `${signed}.${signature.toString("base64url")}`, token_type: "Bearer", expires_in: LASTS_SECONDS, scope };
}

// Whoever asks for a token with a name and a secret, in the header or in the form.
function confidential(request, form) {
  const basic = /^Basic (.*)$/.exec(request.headers.authorization ?? "");
  const [name, secret] = basic
    ? Buffer.from(basic[1], "base64").toString().split(":").map(decodeURIComponent)
    : [form.get("client_id"), form.get("client_secret")];
  demand(Object.hasOwn(CLIENTS, name) && secret === `${name}-secret`, "invalid_client", "Nobody of that name and secret.");
  return name;
}

const routes = {
  "GET /.well-known/oauth-authorization-server": () => ({
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    registration_endpoint: `${issuer}/register`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ["code"],
    grant_types_supported: ["authorization_code", "client_credentials"],
    code_challenge_methods_supported: ["S256"],
    token_endpoint_auth_methods_supported: ["none", "client_secret_basic", "client_secret_post"],
    authorization_response_iss_parameter_supported: true,
  }),
  "GET /jwks": () => ({ keys: [key] }),
  "POST /register": (_request, _query, body) => {
    const asked = JSON.parse(body);
    demand(Object.hasOwn(GRANTS, asked.client_name), "invalid_client_metadata", "A client of no known name.");
    demand(asked.redirect_uris?.length === 1, "invalid_redirect_uri", "One address to come back to is needed.");
    const client = { ...asked, client_id: randomUUID(), client_id_issued_at: Math.floor(Date.now() / 1000), token_endpoint_auth_method: "none" };
    registered.set(client.client_id, client);
    return client;
  },
  "GET /authorize": (_request, query) => {
    const asked = Object.fromEntries(query);
    const client = registered.get(asked.client_id);
    demand(client && client.redirect_uris.includes(asked.redirect_uri), "invalid_request", "A client or an address that did not register.");
    demand(asked.response_type === "code" && asked.code_challenge_method === "S256" && asked.code_challenge, "invalid_request", "A code with PKCE, or nothing.");
    demand(asked.resource, "invalid_target", "For which resource is not said.");
    const code = randomUUID();
    codes.set(code, asked);
    const back = new URL(asked.redirect_uri);
    for (const [name, value] of Object.entries({ code, state: asked.state, iss: issuer })) if (value) back.searchParams.set(name, value);
    return back;
  },
  "POST /token": (request, _query, body) => {
    const form = new URLSearchParams(body);
    const resource = form.get("resource");
    demand(resource, "invalid_target", "For which resource is not said.");
    if (form.get("grant_type") === "client_credentials") {
      const name = confidential(request, form);
      return token(CLIENTS[name], name, resource);
    }
    demand(form.get("grant_type") === "authorization_code", "unsupported_grant_type", "No other kind of grant.");
    const asked = codes.get(form.get("code"));
    codes.delete(form.get("code")); // good once
    demand(asked && ["client_id", "redirect_uri", "resource"].every((name) => asked[name] === form.get(name)), "invalid_grant", "Not the code of this client for this resource.");
    const challenge = createHash("sha256").update(form.get("code_verifier") ?? "").digest("base64url");
    demand(challenge === asked.code_challenge, "invalid_grant", "The verifier does not fit the challenge.");
    const { client_name: name, client_id: id } = registered.get(asked.client_id);
    return token({ account: "owner", scope: GRANTS[name](asked.scope ?? "") }, id, resource);
  },
};

async function read(request) {
  let body = "";
  for await (const piece of request) {
    body += piece;
    demand(body.length <= BODY_BYTES_MAX, "invalid_request", "Too much.");
  }
  return body;
}

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, issuer);
  const say = (status, headers, body) => response.writeHead(status, headers).end(body);
  const json = { "Content-Type": "application/json", "Cache-Control": "no-store" };
  try {
    const route = routes[`${request.method} ${pathname}`];
    if (!route) return say(404, {}, "");
    const answer = route(request, searchParams, await read(request));
    if (answer instanceof URL) return say(302, { Location: answer.href }, "");
    return say(pathname === "/register" ? 201 : 200, json, JSON.stringify(answer));
  } catch (error) {
    const status = error.error === "invalid_client" ? 401 : 400;
    return say(status, json, JSON.stringify({ error: error.error ?? "invalid_request", error_description: error.message }));
  }
});
await new Promise((listens) => server.listen(0, "127.0.0.1", listens));
const issuer = `http://127.0.0.1:${server.address().port}`;
console.log(issuer);
