// graphql-sse, distinct connections mode: subscriptions, queries and mutations as event streams.
import assert from "node:assert/strict";
import { createClient } from "graphql-sse";
import { Inbox, addresses, say, publish, PUBLISH, SEARCH, SUBSCRIBE, BAD_CURSOR, BAD_PROJECT } from "./operations.mjs";

const { http } = addresses();
const connected = new Inbox();
const settings = {
  url: http,
  retryAttempts: 100,
  retry: () => new Promise((resolve) => setTimeout(resolve, 100)),
};
const client = createClient(settings);

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

const live = createClient({
  ...settings,
  on: { connected: () => connected.put(true) },
});
let stopping = false;
const messages = new Inbox();
const stop = live.subscribe({ query: SUBSCRIBE }, {
  next: ({ data }) => messages.put(data.messages.data),
  error: (error) => { console.error(error); process.exit(1); },
  complete: () => { if (!stopping) { console.error("completed"); process.exit(1); } },
});
await connected.next("the stream");

assert.equal((await once(PUBLISH, { data: "one" })).data.publish.data, "one");
assert.equal(await messages.next("the message"), "one");
assert.equal((await once(SEARCH)).data.messages.totalCount, 1);
assert.equal((await once(BAD_PROJECT)).errors[0].extensions.code, "BAD_USER_INPUT");
assert.ok((await once(BAD_CURSOR)).errors[0].extensions.code);
assert.equal((await once("{ nothing }")).errors[0].extensions.code, "GRAPHQL_VALIDATION_FAILED");

say("RESTART");
await connected.next("the stream after the restart");
await publish(http, "after the restart");
assert.equal(await messages.next("the message after the restart"), "after the restart");
stopping = true;
stop();
say("DONE");
