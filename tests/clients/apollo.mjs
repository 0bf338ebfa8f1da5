// @apollo/client: HTTP for queries and mutations; subscriptions multipart, then over graphql-ws.
import assert from "node:assert/strict";
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { Inbox, addresses, say, PUBLISH, SEARCH, SUBSCRIBE, BAD_PROJECT, BAD_CURSOR } from "./operations.mjs";

const { http, ws } = addresses();
const httpLink = new HttpLink({ uri: http });
const socket = createClient({ url: ws, webSocketImpl: WebSocket });
const split = ApolloLink.split(
  ({ operationType }) => operationType === "subscription",
  new GraphQLWsLink(socket),
  httpLink,
);

let count = 0;
for (const link of [httpLink, split]) {
  const client = new ApolloClient({ link, cache: new InMemoryCache() });
  const messages = new Inbox();
  const subscription = client.subscribe({ query: gql(SUBSCRIBE) }).subscribe({
    next: (result) => messages.put(result),
    error: (error) => { console.error(error); process.exit(1); },
  });
  let seen;
  const first = messages.next("the message").then((result) => { seen = result; });
  while (!seen) {
    count += 1;
    const published = await client.mutate({ mutation: gql(PUBLISH), variables: { data: { count } } });
    assert.deepEqual(published.data.publish.data, { count });
    await Promise.race([first, new Promise((resolve) => setTimeout(resolve, 100))]);
  }
  assert.ok(seen.data.messages.data.count <= count);
  subscription.unsubscribe();

  const found = await client.query({ query: gql(SEARCH), fetchPolicy: "network-only" });
  assert.equal(found.data.messages.totalCount, count);
  await assert.rejects(client.query({ query: gql(BAD_PROJECT) }), (error) =>
    CombinedGraphQLErrors.is(error) && error.errors[0].extensions.code === "BAD_USER_INPUT");

  const failure = new Inbox();
  client.subscribe({ query: gql(BAD_CURSOR), errorPolicy: "all" }).subscribe({
    next: (result) => failure.put(result.error),
    error: (error) => failure.put(error),
  });
  assert.match((await failure.next("the error")).message, /after|cursor/i);
}
await socket.dispose();
say("DONE");
process.exit(0);
