import assert from "node:assert/strict";
import { test } from "node:test";
import { WidgetwireError } from "../src/errors.ts";
import { type Sink, streamOf } from "../src/stream.ts";

/** A source that counts how often it is open, and whose values the test sends. */
function source() {
  const state = { opened: 0, closed: 0, sink: undefined as Sink<number> | undefined };
  const open = (sink: Sink<number>) => {
    state.opened += 1;
    state.sink = sink;
    return () => {
      state.closed += 1;
      state.sink = undefined;
    };
  };
  return { state, make: () => open };
}

test("a callback gets each value until it has enough", () => {
  const { state, make } = source();
  const seen: number[] = [];
  const stop = streamOf(make, 10).subscribe((value) => seen.push(value));
  state.sink!.next(1);
  state.sink!.next(2);
  stop();
  assert.deepEqual(seen, [1, 2]);
  assert.equal(state.closed, 1);
});

test("a loop gets each value in order, and closes when it is left", async () => {
  const { state, make } = source();
  const seen: number[] = [];
  const loop = (async () => {
    for await (const value of streamOf(make, 10)) {
      seen.push(value);
      if (value === 3) break;
    }
  })();
  for (const value of [1, 2, 3]) state.sink!.next(value);
  await loop;
  assert.deepEqual(seen, [1, 2, 3]);
  assert.equal(state.closed, 1);
});

test("a loop that is too slow gives the subscription up, and goes on when it has caught up", async () => {
  const { state, make } = source();
  const values = streamOf(make, 3)[Symbol.asyncIterator]();
  const first = values.next();
  for (const value of [1, 2, 3]) state.sink!.next(value);
  assert.deepEqual(await first, { done: false, value: 1 });
  assert.equal(state.sink, undefined);
  for (const value of [2, 3]) assert.deepEqual(await values.next(), { done: false, value });
  const next = values.next();
  assert.equal(state.opened, 2);
  state.sink!.next(4);
  assert.deepEqual(await next, { done: false, value: 4 });
});

test("of results only the newest waits", async () => {
  const { state, make } = source();
  const values = streamOf(make, 1)[Symbol.asyncIterator]();
  const first = values.next();
  state.sink!.next(1);
  await first;
  for (const value of [2, 3, 4]) state.sink!.next(value);
  assert.deepEqual(await values.next(), { done: false, value: 4 });
  assert.equal(state.opened, 1);
});

test("what ends it is thrown once, after what came before", async () => {
  const { state, make } = source();
  const values = streamOf(make, 10)[Symbol.asyncIterator]();
  const first = values.next();
  state.sink!.next(1);
  state.sink!.error(new WidgetwireError("FORBIDDEN", "no"));
  assert.deepEqual(await first, { done: false, value: 1 });
  await assert.rejects(values.next(), { code: "FORBIDDEN" });
  assert.deepEqual(await values.next(), { done: true, value: undefined });
});

test("leaving while a value is awaited ends the wait", async () => {
  const { state, make } = source();
  const values = streamOf(make, 10)[Symbol.asyncIterator]();
  const waiting = values.next();
  await values.return!();
  assert.deepEqual(await waiting, { done: true, value: undefined });
  assert.equal(state.closed, 1);
});
