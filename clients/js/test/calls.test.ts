import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { callsOver } from "../src/calls.ts";
import type { Operation } from "../src/generated.ts";
import { connected, type FakeSocket, pass, settled } from "./fake_server.ts";

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
});

const TEXT = "mutation" as Operation<{ n: number; text?: string }, number>;

const numbers = (socket: FakeSocket) =>
  socket.operations.map(({ payload }) => payload?.variables.n);

const codeOf = (call: Promise<unknown>) => call.then(() => "no error", ({ code, name }) => code ?? name);

test("calls made without a connection are sent in their order once there is one", async () => {
  const { connection, accept } = connected();
  const calls = callsOver(connection, 10, 10_000);
  const answers = [1, 2, 3].map((n) => calls.run("a", TEXT, { n }));
  const socket = await accept();
  assert.deepEqual(numbers(socket), [1, 2, 3]);
  for (const place of [2, 0, 1]) socket.next(place, place);
  assert.deepEqual(await Promise.all(answers), [0, 1, 2]);
});

test("a call is sent again, as it was, until it is answered", async () => {
  const { connection, accept, reconnect } = connected();
  const calls = callsOver(connection, 10, 10_000);
  const answer = calls.run("a", TEXT, { n: 7 });
  const socket = await accept();
  const again = await reconnect();
  assert.deepEqual(again.operations[0]?.payload, socket.operations[0]?.payload);
  again.next(0, "done");
  assert.equal(await answer, "done");
  assert.deepEqual(numbers(again), [7]);
});

test("one call, or one byte, more than may wait is refused, and there is room again after an answer", async () => {
  const { connection, accept } = connected();
  const calls = callsOver(connection, 2, 300);
  const first = calls.run("a", TEXT, { n: 1 });
  void calls.run("a", TEXT, { n: 2 });
  assert.equal(await codeOf(calls.run("a", TEXT, { n: 3 })), "QUEUE_FULL");
  const socket = await accept();
  socket.next(0, 1);
  await first;
  assert.equal(await codeOf(calls.run("a", TEXT, { n: 3, text: "é".repeat(150) })), "QUEUE_FULL");
  void calls.run("a", TEXT, { n: 4 });
  await settled();
  assert.deepEqual(numbers(socket), [1, 2, 4]);
});

test("a call that no message could hold is refused before it closes the connection", async () => {
  const calls = callsOver(connected().connection, 10, 1e9);
  assert.equal(await codeOf(calls.run("a", TEXT, { n: 1, text: "x".repeat(1_000_001) })), "PAYLOAD_TOO_LARGE");
});

test("what is asked to wait up to 5 s waits, those behind it too, and goes in order", async () => {
  const { connection, accept } = connected();
  const calls = callsOver(connection, 10, 10_000);
  void calls.run("a", TEXT, { n: 1 });
  void calls.run("a", TEXT, { n: 2 });
  const socket = await accept();
  socket.fail(1, "RATE_LIMITED", 2_000);
  socket.fail(0, "RATE_LIMITED", 3_000);
  await settled();
  void calls.run("a", TEXT, { n: 3 });
  void calls.run("b", TEXT, { n: 9 });
  await settled();
  assert.deepEqual(numbers(socket), [1, 2, 9]);
  await pass(2_999);
  assert.deepEqual(numbers(socket), [1, 2, 9]);
  await pass(1);
  assert.deepEqual(numbers(socket), [1, 2, 9, 1, 2, 3]);
});

test("whoever is asked to wait for longer is told", async () => {
  const { connection, accept } = connected();
  const calls = callsOver(connection, 10, 10_000);
  const call = calls.run("a", TEXT, { n: 1 });
  (await accept()).fail(0, "RATE_LIMITED", 5_001);
  await assert.rejects(call, { code: "RATE_LIMITED", retryAfterMs: 5_001 });
});

test("UNAVAILABLE is tried again where a second time does no harm", async () => {
  const { connection, accept } = connected();
  const calls = callsOver(connection, 10, 10_000);
  const keyed = calls.run("a", TEXT, { n: 1 });
  const once = calls.run("b", TEXT, { n: 2 }, {}, true);
  const socket = await accept();
  socket.fail(0, "UNAVAILABLE");
  socket.fail(1, "UNAVAILABLE");
  assert.equal(await codeOf(once), "UNAVAILABLE");
  await pass(500);
  socket.next(2, "stored");
  assert.equal(await keyed, "stored");
});

test("other errors are the caller's", async () => {
  const { connection, accept } = connected();
  const calls = callsOver(connection, 10, 10_000);
  const call = calls.run("a", TEXT, { n: 1 });
  (await accept()).fail(0, "REJECTED");
  await assert.rejects(call, { name: "WidgetwireError", code: "REJECTED", message: "said REJECTED" });
});

test("a signal takes a call out of the queue", async () => {
  const { connection, accept } = connected();
  const calls = callsOver(connection, 10, 10_000);
  const leaving = new AbortController();
  const call = calls.run("a", TEXT, { n: 1 }, { signal: leaving.signal });
  void calls.run("a", TEXT, { n: 2 });
  leaving.abort();
  assert.equal(await codeOf(call), 20);
  assert.deepEqual(numbers(await accept()), [2]);
  await assert.rejects(calls.run("a", TEXT, { n: 3 }, { signal: AbortSignal.abort() }), { name: "AbortError" });
});

test("a closed client fails what waits, behind a rate too", async () => {
  const { connection, accept } = connected();
  const calls = callsOver(connection, 10, 10_000);
  const held = calls.run("a", TEXT, { n: 1 });
  const sent = calls.run("b", TEXT, { n: 2 });
  (await accept()).fail(0, "RATE_LIMITED", 4_000);
  await settled();
  connection.close();
  calls.flush();
  assert.deepEqual(await Promise.all([held, sent].map(codeOf)), ["CLOSED", "CLOSED"]);
});
