// Clients that send the id of a document in place of its text: Apollo, urql, graphql-ws, graphql-sse.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { Client, fetchExchange, mapExchange, stringifyDocument } from "@urql/core";
import { createClient as createSseClient } from "graphql-sse";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { Inbox, addresses, publish, say, PUBLISH, SEARCH, SUBSCRIBE } from "./operations.mjs";

const { http, ws } = addresses();
const sha256 = (text) => createHash("sha256").update(text).digest("hex");
const socket = createClient({ url: ws, webSocketImpl: WebSocket });

// What goes over HTTP, to see that the text goes once.
const sent = [];
function watched(url, options) {
  sent.push(decodeURIComponent(url) + (options.body ?? ""));
  return fetch(url, options);
}
const texts = () => sent.splice(0).map((one) => /totalCount|clientId/.test(one));

// Apollo's automatic persisted queries: the hash, then the text with it, then the hash alone.
for (const useGETForHashedQueries of [false, true]) {
  const persisted = new PersistedQueryLink({ sha256, useGETForHashedQueries });
  const client = new ApolloClient({
    link: ApolloLink.split(
      ({ operationType }) => operationType === "subscription",
      persisted.concat(new GraphQLWsLink(socket)),
      persisted.concat(new HttpLink({ uri: http, fetch: watched })),
    ),
    cache: new InMemoryCache(),
  });
  const query = gql(SEARCH.replace("Search", `Search${useGETForHashedQueries}`));
  for (const expected of [[false, true], [false]]) {
    const found = await client.query({ query, fetchPolicy: "network-only" });
    assert.equal(typeof found.data.messages.totalCount, "number");
    assert.deepEqual(texts(), expected);
  }
  const published = await client.mutate({ mutation: gql(PUBLISH), variables: { data: 1 } });
  assert.equal(published.data.publish.data, 1);
  texts();

  const messages = new Inbox();
  client.subscribe({ query: gql(SUBSCRIBE), variables: { after: published.data.publish.id } }).subscribe({
    next: (result) => messages.put(result),
    error: (error) => { console.error(error); process.exit(1); },
  });
  const message = await publish(http, { by: "another" });
  assert.equal((await messages.next("the message")).data.messages.id, message.id);
}

// What @urql/exchange-persisted does, step by step.
let miss;
const byHash = mapExchange({
  onOperation: (operation) => ({
    ...operation,
    extensions: {
      persistedQuery: { version: 1, sha256Hash: sha256(stringifyDocument(operation.query)), miss },
    },
  }),
});
const urql = new Client({ url: http, preferGetMethod: true, fetch: watched, exchanges: [byHash, fetchExchange] });
const notFound = await urql.query(SEARCH, {}).toPromise();
assert.equal(notFound.error.graphQLErrors[0].message, "PersistedQueryNotFound");
for (miss of [true, undefined]) {
  const found = await urql.query(SEARCH, {}).toPromise();
  assert.equal(typeof found.data.messages.totalCount, "number");
}
assert.deepEqual(texts(), [false, true, false]);

// Those that send an id alone, of a document that is registered or listed.
const documentId = `sha256:${sha256(SUBSCRIBE)}`;
const registered = await fetch(http, {
  method: "POST",
  headers: { "content-type": "application/json", accept: "text/event-stream" },
  body: JSON.stringify({ query: SUBSCRIBE, documentId }),
});
await registered.body.cancel();
const last = await publish(http, "last");
const after = { after: last.id };
const hash = { persistedQuery: { version: 1, sha256Hash: sha256(SUBSCRIBE) } };
for (const [name, subscribe] of [
  ["graphql-ws", (sink) => socket.subscribe({ query: "", extensions: hash, variables: after }, sink)],
  ["documentId", (sink) => socket.subscribe({ query: "", documentId, variables: after }, sink)],
  ["graphql-sse", (sink) => createSseClient({ url: http }).subscribe(
    { query: "", extensions: hash, variables: after }, sink)],
]) {
  const messages = new Inbox();
  const end = subscribe({
    next: (result) => messages.put(result),
    error: (error) => { console.error(name, error); process.exit(1); },
    complete() {},
  });
  const message = await publish(http, { to: name });
  const seen = [];
  while (seen.at(-1) !== message.id) {
    seen.push((await messages.next(`the message of ${name}`)).data.messages.id);
  }
  end();
}
await socket.dispose();
say("DONE");
process.exit(0);
