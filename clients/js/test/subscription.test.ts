import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import type { WidgetwireError } from "../src/errors.ts";
import { subscriptionOver } from "../src/subscription.ts";
import { connected, pass, settled } from "./fake_server.ts";

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
});

function opened(recovers?: () => { tell: unknown } | undefined) {
  const fake = connected();
  const seen: unknown[] = [];
  const errors: WidgetwireError[] = [];
  const open = subscriptionOver<unknown>(fake.connection, {
    payload: () => ({ query: "subscription" }),
    take: (data) => data,
    ...(recovers && { recovers }),
  });
  const close = open({ next: (value) => seen.push(value), error: (error) => errors.push(error) });
  return { ...fake, seen, errors, close };
}

test("it goes on over connections", async () => {
  const { accept, reconnect, seen } = opened();
  (await accept()).next(0, 1);
  (await reconnect()).next(0, 2);
  assert.deepEqual(seen, [1, 2]);
});

for (const [code, wait] of [["UNAVAILABLE", undefined], ["UNAVAILABLE", 900], ["RATE_LIMITED", 900]] as const) {
  test(`${code} with retryAfterMs ${wait} is asked for again`, async () => {
    const { accept, seen, errors } = opened();
    const socket = await accept();
    socket.fail(0, code, wait);
    await pass(wait ?? 500);
    socket.next(1, "there");
    assert.deepEqual(seen, ["there"]);
    assert.deepEqual(errors, []);
  });
}

test("a rate without a time, and a right that lacks, end it", async () => {
  for (const code of ["RATE_LIMITED", "FORBIDDEN"]) {
    const { accept, errors } = opened();
    (await accept()).fail(0, code);
    assert.equal(errors[0]?.code, code);
  }
});

test("the server's end of it is no end", async () => {
  const { accept } = opened();
  const socket = await accept();
  socket.complete(0);
  await settled();
  await pass(500);
  assert.equal(socket.operations.length, 2);
});

test("it is asked for again at once where that helps", async () => {
  let tries = 0;
  const { accept, errors, seen } = opened(() => (tries++ < 1 ? { tell: "anew" } : undefined));
  const socket = await accept();
  socket.fail(0, "UNKNOWN_CURSOR");
  await settled();
  socket.fail(1, "UNKNOWN_CURSOR");
  assert.equal(errors[0]?.code, "UNKNOWN_CURSOR");
  assert.deepEqual(seen, ["anew"]);
});

test("a result that cannot be had now is left out; another error ends it", async () => {
  const { accept, seen, errors } = opened();
  const socket = await accept();
  const say = (code: string) =>
    socket.say({ type: "next", id: socket.operations[0]!.id, payload: { data: null, errors: [{ message: code, extensions: { code } }] } });
  say("UNAVAILABLE");
  socket.next(0, "there");
  say("BAD_USER_INPUT");
  assert.deepEqual(seen, ["there"]);
  assert.deepEqual(errors.map(({ code }) => code), ["BAD_USER_INPUT"]);
  assert.equal(socket.frames.at(-1)?.type, "complete");
});

test("closed, it is asked for no more", async () => {
  const { accept, close } = opened();
  const socket = await accept();
  socket.fail(0, "UNAVAILABLE");
  close();
  await pass(1_000);
  assert.equal(socket.operations.length, 1);
});
