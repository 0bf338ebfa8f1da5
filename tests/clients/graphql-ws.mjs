// graphql-ws: everything over one socket; comes back after a restart and misses nothing.
import assert from "node:assert/strict";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { Inbox, addresses, say, publish, PUBLISH, SEARCH, SUBSCRIBE, BAD_CURSOR, BAD_PROJECT } from "./operations.mjs";

const { http, ws } = addresses();
let connections = 0;
const connected = new Inbox();
const client = createClient({
  url: ws,
  webSocketImpl: WebSocket,
  lazy: false,
  keepAlive: 1_000,
  // By default it gives up when nobody listens; close codes that are final stay final.
  shouldRetry: () => true,
  retryAttempts: 100,
  retryWait: () => new Promise((resolve) => setTimeout(resolve, 100)),
  on: { connected: () => { connections += 1; connected.put(connections); } },
});
await connected.next("the connection");

function once(query, variables) {
  return new Promise((resolve, reject) => {
    let result;
    client.subscribe({ query, variables }, {
      next: (value) => { result = value; },
      error: reject,
      complete: () => resolve(result),
    });
  });
}

let leaving = false;
const variables = {};
const messages = new Inbox();
client.subscribe({ query: SUBSCRIBE, variables }, {
  next: ({ data, errors }) => {
    assert.equal(errors, undefined);
    // Read again by the client when it subscribes anew.
    variables.after = data.messages.id;
    messages.put(data.messages.data);
  },
  error: (error) => { console.error(error); process.exit(1); },
  complete: () => { if (!leaving) { console.error("completed"); process.exit(1); } },
});

// Sent at once, after the subscribe: it must reach that subscription.
const published = await once(PUBLISH, { data: { score: 1, text: "ä🎈" } });
assert.deepEqual(published.data.publish.data, { score: 1, text: "ä🎈" });
assert.equal(published.data.publish.username, null);
assert.deepEqual(await messages.next("the message"), { score: 1, text: "ä🎈" });

const found = await once(SEARCH);
assert.equal(found.data.messages.totalCount, 1);

const refused = await once(BAD_PROJECT);
assert.equal(refused.errors[0].extensions.code, "BAD_USER_INPUT");
await assert.rejects(once(BAD_CURSOR), (errors) => errors[0].extensions.code === "UNKNOWN_CURSOR" || errors[0].extensions.code === "BAD_USER_INPUT");
await assert.rejects(once("{ nothing }"), (errors) => errors[0].extensions.code === "GRAPHQL_VALIDATION_FAILED");

say("RESTART");
assert.equal(await connected.next("the connection after the restart"), 2);
await publish(http, "after the restart");
assert.equal(await messages.next("the message after the restart"), "after the restart");
leaving = true;
await client.dispose();
say("DONE");
