// Tokens of three seconds: nothing is lost while they are replaced, and a bad one is refused.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createClient } from "widgetwire";
import { addresses, say } from "./operations.mjs";

const { http } = addresses();
const SECRET = "a secret of more than thirty-two bytes";
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const sign = (claims, secret = SECRET) => {
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
};
const LIFE_S = 3;
let tokens = 0;
const freshToken = async () => sign({ sub: "ada", username: `Ada ${++tokens}`, exp: Math.floor(Date.now() / 1000) + LIFE_S });
let cached;
// As libraries do that know of a token's end only when it is there: the server closes, and the client comes back.
const cachedToken = async () => {
  if (!cached || JSON.parse(atob(cached.split(".")[1])).exp * 1000 <= Date.now()) cached = await freshToken();
  return cached;
};

async function publishThrough(token, widgetId) {
  const client = createClient({ url: http, projectId: "clients", token });
  const states = [];
  client.onStatus(({ state }) => states.push(state));
  const channel = client.channel(widgetId);
  const heard = [];
  channel.messages({ last: 10 }).subscribe(({ data }) => heard.push(data));
  assert.equal((await client.viewer()).sub, "ada");
  const names = new Set();
  let number = 0;
  while (names.size < 2) {
    names.add((await channel.publish(number++)).username);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  while (heard.length < number) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(heard, [...Array(number).keys()]);
  client.close();
  return states.join(" ");
}
const [fresh, late] = await Promise.all([publishThrough(freshToken, "fresh"), publishThrough(cachedToken, "cached")]);
assert.equal(fresh, "connecting online closed");
assert.match(late, /^connecting online offline connecting online closed$/);

const stranger = createClient({ url: http, projectId: "clients", token: sign({ sub: "eve" }, "another secret of thirty-two bytes") });
const ended = new Promise((resolve) => stranger.channel("fresh").messages().subscribe(() => {}, resolve));
await assert.rejects(stranger.channel("fresh").publish(0), { code: "UNAUTHENTICATED", closeCode: 4401 });
assert.equal((await ended).code, "UNAUTHENTICATED");
assert.equal(stranger.status.state, "refused");
stranger.close();
say("DONE");
