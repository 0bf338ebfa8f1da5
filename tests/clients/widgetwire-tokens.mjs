// Tokens of two seconds: nothing is lost while they are replaced, and a bad one is refused.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createClient } from "widgetwire";
import { addresses, say } from "./operations.mjs";

const { http } = addresses();
const SECRET = "a secret of more than thirty-two bytes";
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
let tokens = 0;
const sign = (claims, secret = SECRET) => {
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
};
const freshToken = async () => sign({ sub: "ada", username: `Ada ${++tokens}`, exp: Math.floor(Date.now() / 1000) + 2 });

const client = createClient({ url: http, projectId: "clients", token: freshToken });
const channel = client.channel("tokens");
const heard = [];
channel.messages({ last: 10 }).subscribe(({ data }) => heard.push(data));
assert.equal((await client.viewer()).sub, "ada");
const names = new Set();
let number = 0;
while (names.size < 3) {
  names.add((await channel.publish(number++)).username);
  await new Promise((resolve) => setTimeout(resolve, 20));
}
while (heard.length < number) await new Promise((resolve) => setTimeout(resolve, 20));
assert.deepEqual(heard, [...Array(number).keys()]);
client.close();

const stranger = createClient({ url: http, projectId: "clients", token: sign({ sub: "eve" }, "another secret of thirty-two bytes") });
const ended = new Promise((resolve) => stranger.channel("tokens").messages().subscribe(() => {}, resolve));
await assert.rejects(stranger.channel("tokens").publish(0), { code: "UNAUTHENTICATED", closeCode: 4401 });
assert.equal((await ended).code, "UNAUTHENTICATED");
assert.equal(stranger.status.state, "refused");
stranger.close();
say("DONE");
