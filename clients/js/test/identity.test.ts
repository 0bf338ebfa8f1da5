import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { type ClientTokenStorage, claimsOf, identityOf, type TokenSource } from "../src/identity.ts";

const DAY_MS = 24 * 3600_000;
const URL = "https://host/graphql";

const jwt = (claims: object) => `h.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.s`;

function memory(): ClientTokenStorage & { readonly kept: Map<string, string> } {
  const kept = new Map<string, string>();
  return {
    kept,
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
}

/** What the server was asked, and signs. */
let asked: Record<string, string>[] = [];

function answer(viewer: object | undefined, errors?: object[]) {
  mock.method(globalThis, "fetch", async (_url: string, { headers }: RequestInit) => {
    asked.push(headers as Record<string, string>);
    return Response.json({ data: viewer && { viewer }, errors });
  });
}

const signed = (number: number) => ({ clientId: `signed-${number}`, clientToken: `token-${number}` });

beforeEach(() => {
  mock.restoreAll();
  asked = [];
  answer(signed(1));
});

test("a JWT's claims are read, and anything else has none", () => {
  assert.deepEqual(claimsOf(jwt({ sub: "ädä", exp: 7 })).exp, 7);
  for (const text of [undefined, "", "a.b", "a.!!.c", `a.${Buffer.from("null").toString("base64url")}.c`]) {
    assert.deepEqual(claimsOf(text), {});
  }
});

test("a visitor is signed once, and stays the same over pages", async () => {
  const storage = memory();
  assert.equal((await identityOf(URL, undefined, storage).parameters()).clientToken, "token-1");
  answer(signed(2));
  assert.equal((await identityOf(URL, undefined, storage).parameters()).clientToken, "token-1");
  assert.equal(asked.length, 1);
  assert.notEqual((await identityOf("https://other/graphql", undefined, storage).parameters()).clientToken, "token-1");
});

test("whoever has a token with a sub, or wants no signed id, is not signed", async () => {
  const source = jwt({ sub: "ada" });
  const none = { authToken: source, clientToken: undefined };
  assert.deepEqual(await identityOf(URL, source, memory()).parameters(), none);
  assert.equal((await identityOf(URL, undefined, false).parameters()).clientToken, undefined);
  assert.equal(asked.length, 0);
  const nameless = jwt({ username: "Ada" });
  assert.equal((await identityOf(URL, nameless, memory()).parameters()).clientToken, "token-1");
  assert.equal(asked[0]?.authorization, `Bearer ${nameless}`);
});

test("a client token is renewed after a month", async () => {
  const storage = memory();
  await identityOf(URL, undefined, storage).parameters();
  answer(signed(2));
  const now = Date.now();
  mock.method(Date, "now", () => now + 31 * DAY_MS);
  assert.equal((await identityOf(URL, undefined, storage).parameters()).clientToken, "token-2");
  assert.equal(asked.at(-1)?.["widgetwire-client"], "token-1");
});

test("of two windows that open at once, one names the visitor", async () => {
  const storage = memory();
  mock.method(globalThis, "fetch", async () => {
    storage.setItem(`widgetwire ${URL}`, JSON.stringify({ ...signed(9), at: Date.now() }));
    return Response.json({ data: { viewer: signed(1) } });
  });
  assert.equal((await identityOf(URL, undefined, storage).parameters()).clientToken, "token-9");
});

test("where nothing can be stored, a page stays one visitor", async () => {
  const refuse = () => {
    throw new Error("SecurityError");
  };
  const identity = identityOf(URL, undefined, { getItem: refuse, setItem: refuse, removeItem: refuse });
  await identity.parameters();
  answer(signed(2));
  assert.equal((await identity.parameters()).clientToken, "token-1");
  identity.dropClientToken();
  assert.equal((await identity.parameters()).clientToken, "token-2");
});

test("what the server refuses is an error with its code", async () => {
  answer(undefined, [{ message: "send a token", extensions: { code: "UNAUTHENTICATED" } }]);
  await assert.rejects(identityOf(URL, undefined, memory()).parameters(), { code: "UNAUTHENTICATED" });
  answer(undefined);
  await assert.rejects(identityOf(URL, undefined, memory()).parameters(), { code: "UNAVAILABLE" });
});

test("a token is fetched anew each time, and read for its end", async () => {
  let exp = 0;
  const source: TokenSource = async () => jwt({ sub: "ada", exp: (exp += 60) });
  const identity = identityOf(URL, source, memory());
  assert.equal(identity.renewable, true);
  assert.equal(identity.expires(), undefined);
  await identity.parameters();
  assert.equal(identity.expires(), 60);
  await identity.token();
  assert.equal(identity.expires(), 120);
  assert.equal(identityOf(URL, "fixed", memory()).renewable, false);
});
