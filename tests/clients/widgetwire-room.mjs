// Two visitors: votes, live results, counts, retractions, a rate, and errors with their codes.
import assert from "node:assert/strict";
import { createClient } from "widgetwire";
import { Inbox, addresses, say } from "./operations.mjs";

const { http } = addresses();
const storage = () => {
  const kept = new Map();
  return { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) };
};
const visitor = (clientTokens = storage()) => createClient({ url: http, projectId: "clients", clientTokens });
const kept = storage();
const [ada, bob] = [visitor(kept), visitor()];
const until = async (inbox, holds) => {
  for (;;) {
    const value = await inbox.next(String(holds));
    if (holds(value)) return value;
  }
};

const results = new Inbox();
const events = new Inbox();
const counts = new Inbox();
bob.channel("room").live({ groupBy: "data.choice", totalCount: true, aggregate: "data.score" }).subscribe((result) => results.put(result));
bob.channel("room").events({ last: 10 }).subscribe((event) => events.put(event));
bob.channel("room").count().subscribe((count) => counts.put(count));
await until(events, ({ type }) => type === "caughtUp");
await until(counts, (count) => count === 1);

const room = ada.channel("room");
await room.vote("A");
const vote = await room.vote("B");
await bob.channel("room").vote("B");
await until(results, ({ groups }) => JSON.stringify(groups.map(({ key, count }) => [key, count])) === '[["B",2]]');

// The same visitor on another page changes the same vote.
const again = visitor(kept);
const changed = await again.channel("room").vote("C");
assert.equal(changed.clientId, vote.clientId);
again.close();
await until(results, ({ groups, totalCount }) => totalCount === 2 && groups.every(({ count }) => count === 1));
const { ids } = await until(events, (event) => event.type === "retracted" && event.ids.includes(vote.id));
assert.deepEqual(ids, [vote.id]);

// Retracting: one's own, and nobody else's.
const said = await room.publish({ text: "oops", score: 5 });
await assert.rejects(bob.channel("room").retract([said.id]), { name: "WidgetwireError", code: "FORBIDDEN" });
assert.equal(await room.retract([said.id], { reason: "a slip" }), 1);
assert.deepEqual(await until(events, (event) => event.type === "retracted" && event.ids.includes(said.id)), {
  type: "retracted",
  ids: [said.id],
  reason: "a slip",
});

// Filters, aggregates, what is not stored, what is not allowed.
const high = new Inbox();
const filters = [{ field: "data.score", operator: "GT", value: 10 }];
room.messages({ filters }).subscribe((message) => high.put(message.data.score));
for await (const count of room.count()) if (count === 2) break;
for (const score of [5, 20]) await room.publish({ score });
await room.publish({ score: 30 }, { persistent: false });
assert.deepEqual([await high.next(), await high.next()], [20, 30]);
const found = await room.search({ filters, aggregate: "data.score" });
assert.deepEqual([found.messages.length, found.aggregate.sum, found.totalCount], [1, 20, undefined]);
await assert.rejects(room.search({ limit: 5000 }), { code: "BAD_USER_INPUT" });
await assert.rejects(room.publish("x".repeat(70_000)), { code: "PAYLOAD_TOO_LARGE" });
const nowhere = new Promise((resolve) => room.events({ after: "nowhere" }).subscribe(() => {}, resolve));
assert.equal((await nowhere).code, "UNKNOWN_CURSOR");

const left = new Inbox();
ada.onStatus(({ state }) => left.put(state));
ada.close();
assert.equal(await left.next(), "closed");
await assert.rejects(room.publish(1), { code: "CLOSED" });
await until(counts, (count) => count === 1);
bob.close();
say("DONE");
