import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import type { Client } from "../src/client.ts";
import { subscribe } from "../src/graphql.ts";
import { connected } from "./fake_server.ts";

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
});

function subscribed(variables: Record<string, unknown>) {
  const fake = connected();
  const seen: unknown[] = [];
  const errors: unknown[] = [];
  subscribe({ connection: fake.connection } as Client, { query: "subscription", variables }, {
    next: (response) => seen.push(response),
    error: (error) => errors.push(error),
    complete: () => seen.push("complete"),
  });
  return { ...fake, seen, errors };
}

test("a subscription to messages goes on after the last that was stored", async () => {
  const given = { last: 50, widgetId: "poll" };
  const { accept, reconnect } = subscribed(given);
  const socket = await accept();
  assert.deepEqual(socket.operations[0]?.payload?.variables, given);
  socket.next(0, { messages: { id: "1", persistent: true } });
  socket.next(0, { messages: { id: "2", persistent: false } });
  const again = await reconnect();
  assert.deepEqual(again.operations[0]?.payload?.variables, { after: "1", last: null, widgetId: "poll" });
  assert.deepEqual(given, { last: 50, widgetId: "poll" });
});

test("a subscription to events goes on after the last cursor", async () => {
  const { accept, reconnect } = subscribed({});
  const socket = await accept();
  socket.next(0, { channelEvents: { cursor: "1", message: { id: "1", persistent: true } } });
  socket.next(0, { channelEvents: { cursor: "2", ids: [] } });
  socket.next(0, { channelEvents: { cursor: "3", message: { persistent: false } } });
  const again = await reconnect();
  assert.deepEqual(again.operations[0]?.payload?.variables, { after: "2", last: null });
});

test("errors come as GraphQL has them, answers as they are", async () => {
  const { accept, seen, errors } = subscribed({});
  const socket = await accept();
  socket.next(0, { anything: 1 });
  socket.fail(0, "FORBIDDEN");
  assert.deepEqual(seen, [{ data: { anything: 1 } }]);
  assert.deepEqual(errors, [[{ message: "said FORBIDDEN", extensions: { code: "FORBIDDEN" } }]]);
});
