// subscriptions-transport-ws: the legacy subprotocol `graphql-ws`.
import assert from "node:assert/strict";
import { SubscriptionClient } from "subscriptions-transport-ws";
import WebSocket from "ws";
import { Inbox, addresses, say, publish, PUBLISH, SEARCH, SUBSCRIBE, BAD_PROJECT } from "./operations.mjs";

const { http, ws } = addresses();
const client = new SubscriptionClient(ws, { reconnect: true, minTimeout: 5_000 }, WebSocket);
const reconnected = new Inbox();
client.onReconnected(() => reconnected.put(true));

function once(query, variables) {
  return new Promise((resolve, reject) => {
    let result;
    client.request({ query, variables }).subscribe({
      next: (value) => { result = value; },
      error: reject,
      complete: () => resolve(result),
    });
  });
}

const messages = new Inbox();
client.request({ query: SUBSCRIBE }).subscribe({
  next: ({ data }) => messages.put(data.messages.data),
  error: (error) => { console.error(error); process.exit(1); },
});
const published = await once(PUBLISH, { data: [1, 2] });
assert.deepEqual(published.data.publish.data, [1, 2]);
assert.deepEqual(await messages.next("the message"), [1, 2]);
assert.equal((await once(SEARCH)).data.messages.totalCount, 1);
assert.equal((await once(BAD_PROJECT)).errors[0].extensions.code, "BAD_USER_INPUT");
await assert.rejects(once("{ nothing }"));

say("RESTART");
await reconnected.next("the connection after the restart");
// It subscribes anew by itself, on the same socket and before what follows.
await once(PUBLISH, { data: "after the restart" });
assert.equal(await messages.next("the message after the restart"), "after the restart");
client.close();
say("DONE");
