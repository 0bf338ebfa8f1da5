// @urql/core: queries and mutations over fetch; subscriptions over fetch, then over graphql-ws.
import assert from "node:assert/strict";
import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { pipe, subscribe } from "wonka";
import { Inbox, addresses, say, PUBLISH, SEARCH, SUBSCRIBE, BAD_PROJECT } from "./operations.mjs";

const { http, ws } = addresses();
const socket = createClient({ url: ws, webSocketImpl: WebSocket });
const overSocket = new Client({
  url: http,
  preferGetMethod: false,
  exchanges: [
    subscriptionExchange({
      forwardSubscription: (request) => ({
        subscribe: (sink) => ({ unsubscribe: socket.subscribe({ ...request, query: request.query ?? "" }, sink) }),
      }),
    }),
    fetchExchange,
  ],
});
const overFetch = new Client({ url: http, preferGetMethod: true, fetchSubscriptions: true, exchanges: [fetchExchange] });

let count = 0;
for (const client of [overFetch, overSocket]) {
  const messages = new Inbox();
  const { unsubscribe } = pipe(
    client.subscription(SUBSCRIBE, {}),
    subscribe((result) => messages.put(result)),
  );
  // Nothing tells when urql has subscribed: publish until it has.
  let seen;
  const first = messages.next("the message").then((result) => { seen = result; });
  while (!seen) {
    count += 1;
    const published = await client.mutation(PUBLISH, { data: { count } }).toPromise();
    assert.equal(published.error, undefined);
    await Promise.race([first, new Promise((resolve) => setTimeout(resolve, 100))]);
  }
  assert.equal(seen.error, undefined);
  assert.ok(seen.data.messages.data.count <= count);
  unsubscribe();

  const found = await client.query(SEARCH, {}).toPromise();
  assert.equal(found.data.messages.totalCount, count);
  const refused = await client.query(BAD_PROJECT, {}).toPromise();
  assert.equal(refused.error.graphQLErrors[0].extensions.code, "BAD_USER_INPUT");
}
await socket.dispose();
say("DONE");
process.exit(0);
