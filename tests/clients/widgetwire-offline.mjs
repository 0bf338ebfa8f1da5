// Publishes numbers before there is a server, through cuts and restarts, and hears each once.
import assert from "node:assert/strict";
import { createClient } from "widgetwire";
import { addresses, say } from "./operations.mjs";

const { http } = addresses();
const NUMBERS = 300;
const writer = createClient({ url: http, projectId: "clients" });
const reader = createClient({ url: http, projectId: "clients" });
const heard = [];
const looped = [];
reader.channel("offline").events({ last: 1000 }).subscribe((event) => {
  if (event.type === "message") heard.push(event.message.data);
  else assert.notEqual(event.type, "reset");
});
const loop = (async () => {
  for await (const { data } of reader.channel("offline").messages({ last: 1000 })) {
    looped.push(data);
    if (data === NUMBERS - 1) break;
  }
})();

const channel = writer.channel("offline");
const answers = [];
const publish = (number) => answers.push(channel.publish(number));
for (let number = 0; number < 50; number++) publish(number);
say("QUEUED");
await answers[0];
say("ONLINE");
for (let number = 50; number < NUMBERS; number++) {
  publish(number);
  if (number === 150) say("RESTART");
  await new Promise((resolve) => setTimeout(resolve, 10));
}
const records = await Promise.all(answers);
assert.deepEqual(records.map(({ data }) => data), [...Array(NUMBERS).keys()]);
await loop;
while (heard.length < NUMBERS) await new Promise((resolve) => setTimeout(resolve, 20));

const expected = [...Array(NUMBERS).keys()];
assert.deepEqual(heard, expected);
assert.deepEqual(looped, expected);
const stored = await channel.search({ limit: 1000, totalCount: true });
assert.equal(stored.totalCount, NUMBERS);
assert.deepEqual(stored.messages.map(({ data }) => data), expected);
assert.equal(new Set(stored.messages.map(({ clientId }) => clientId)).size, 1);
writer.close();
reader.close();
say("DONE");
