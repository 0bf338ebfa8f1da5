import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import type { Operation } from "../src/connection.ts";
import type { WidgetwireError } from "../src/errors.ts";
import { ANONYMOUS, connected, pass, settled } from "./fake_server.ts";

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
});

function operation(name: string, once = false) {
  const seen: unknown[] = [];
  const errors: WidgetwireError[] = [];
  const made: Operation & { seen: unknown[]; errors: WidgetwireError[] } = {
    seen,
    errors,
    once,
    payload: () => ({ query: name }),
    next: ({ data }) => void seen.push(data),
    error: (error) => void errors.push(error),
    complete: () => void seen.push("complete"),
  };
  return made;
}

const asked = (socket: { operations: { payload?: { query: string } }[] }) =>
  socket.operations.map(({ payload }) => payload?.query);

test("it connects once there is something to do, and leaves once there is nothing", async () => {
  const { connection, sockets, statuses, accept } = connected();
  await settled();
  assert.equal(sockets.length, 0);
  const stop = connection.run(operation("a"));
  const socket = await accept();
  assert.deepEqual(asked(socket), ["a"]);
  stop();
  await pass(1_999);
  assert.equal(connection.status().state, "online");
  await pass(1);
  assert.equal(socket.closedWith, 1000);
  assert.deepEqual(statuses.map(({ state }) => state), ["connecting", "online", "idle"]);
});

test("what begins before it is idle keeps the connection", async () => {
  const { connection, accept } = connected();
  const stop = connection.run(operation("a"));
  const socket = await accept();
  stop();
  await pass(1_000);
  connection.run(operation("b"));
  await pass(5_000);
  assert.deepEqual(asked(socket), ["a", "b"]);
  assert.equal(socket.closedWith, undefined);
});

test("operations are sent again in the order in which they began", async () => {
  const { connection, accept, reconnect } = connected();
  const first = operation("a");
  connection.run(first);
  connection.run(operation("b"));
  const socket = await accept();
  connection.run(operation("c"));
  socket.next(0, 1);
  const again = await reconnect();
  assert.deepEqual(asked(again), ["a", "b", "c"]);
  again.next(0, 2);
  assert.deepEqual(first.seen, [1, 2]);
});

test("what a lost connection still says is not heard", async () => {
  const { connection, accept, reconnect } = connected();
  const only = operation("a");
  connection.run(only);
  const socket = await accept();
  await reconnect();
  socket.next(0, "late");
  assert.deepEqual(only.seen, []);
});

test("what is to be sent once fails where the answer is lost, and waits where it was not sent", async () => {
  const { connection, accept, sockets } = connected();
  const sent = operation("sent", true);
  connection.run(sent);
  const socket = await accept();
  await socket.lose();
  const waiting = operation("waiting", true);
  connection.run(waiting);
  assert.deepEqual(asked(await accept()), ["waiting"]);
  assert.equal(sockets.length, 2);
  assert.equal(sent.errors[0]?.code, "UNAVAILABLE");
  assert.deepEqual(waiting.errors, []);
});

for (const code of [1009, 4400, 4401, 4406, 4409, 4429]) {
  test(`${code} is final: what is under way fails, and the next call tries again`, async () => {
    const { connection, sockets, accept } = connected();
    const lost = operation("a");
    connection.run(lost);
    await (await accept()).lose(code, "why");
    assert.equal(connection.status().state, "refused");
    assert.equal(lost.errors[0]?.closeCode, code);
    assert.equal(lost.errors[0]?.message, "why");
    await pass(60_000);
    assert.equal(sockets.length, 1);
    connection.run(operation("b"));
    assert.deepEqual(asked(await accept()), ["b"]);
  });
}

for (const code of [1001, 1006, 1011, 1012, 1013, 4408]) {
  test(`after ${code} it comes back`, async () => {
    const { connection, accept, reconnect } = connected();
    connection.run(operation("a"));
    await accept();
    assert.deepEqual(asked(await reconnect(code)), ["a"]);
  });
}

test("an expired token is fetched anew, if it can be", async () => {
  let fetched = 0;
  const renewable = { ...ANONYMOUS, renewable: true, parameters: async () => ({ authToken: `t${++fetched}`, clientToken: undefined }) };
  const { connection, accept, reconnect } = connected(renewable);
  connection.run(operation("a"));
  await accept();
  const again = await reconnect(4403, "the token has expired");
  assert.deepEqual(again.frames[0], { type: "connection_init", payload: { authToken: "t2" } });

  const fixed = connected();
  const failed = operation("a");
  fixed.connection.run(failed);
  await (await fixed.accept()).lose(4403, "the token has expired");
  assert.equal(failed.errors[0]?.code, "UNAUTHENTICATED");
});

test("a refused client token is dropped, and the client comes back as somebody new", async () => {
  let dropped = 0;
  const { connection, accept, reconnect } = connected({ ...ANONYMOUS, dropClientToken: () => (dropped += 1) });
  connection.run(operation("a"));
  await accept();
  assert.deepEqual(asked(await reconnect(4401, "the client token's signature does not match")), ["a"]);
  assert.equal(dropped, 1);
});

test("a token is replaced on the open connection before it expires", async () => {
  let exp = 100;
  const identity = { ...ANONYMOUS, renewable: true, expires: () => exp, token: async () => ((exp += 100), `until ${exp}`) };
  const { connection, accept, sockets } = connected(identity);
  connection.run(operation("a"));
  const socket = await accept();
  await pass(79_999);
  assert.equal(socket.operations.length, 1);
  await pass(1);
  assert.match(asked(socket)[1]!, /authenticate/);
  assert.deepEqual(socket.operations[1]?.payload?.variables, { token: "until 200" });
  socket.next(1, { authenticate: { sub: "ada" } });
  for (let second = 0; second < 100; second++) await pass(1_000);
  assert.equal(socket.operations.length, 3);
  assert.equal(sockets.length, 1);
});

test("a connection that dies silently is noticed", async () => {
  const { connection, sockets, accept } = connected();
  connection.run(operation("a"));
  const socket = await accept();
  await pass(10_000);
  assert.equal(socket.frames.at(-1)?.type, "ping");
  await pass(10_000);
  socket.silent = true;
  await pass(10_000);
  assert.equal(connection.status().state, "online");
  await pass(5_000);
  assert.equal(connection.status().state, "offline");
  await pass(1_000);
  assert.equal(sockets.length, 2);
});

test("a token or a connection that does not come is given up after half a minute", async () => {
  const hanging = { ...ANONYMOUS, parameters: () => new Promise<never>(() => {}) };
  for (const { connection, sockets, statuses } of [connected(hanging), connected()]) {
    connection.run(operation("a"));
    await pass(29_999);
    assert.equal(connection.status().state, "connecting");
    await pass(1);
    assert.equal(connection.status().state, "offline");
    await pass(1_000);
    assert.deepEqual(statuses.map(({ state }) => state), ["connecting", "offline", "connecting"]);
    assert.ok(sockets.length <= 2);
  }
});

test("attempts come ever later, up to half a minute", async () => {
  const { connection, sockets, statuses } = connected();
  connection.run(operation("a"));
  for (let attempt = 0; attempt < 9; attempt++) {
    await settled();
    await sockets.at(-1)!.lose();
    await pass(30_000);
  }
  const waits = statuses.flatMap((status) => (status.state === "offline" ? [status.retryInMs] : []));
  waits.forEach((wait, attempt) => {
    const most = Math.min(30_000, 500 * 2 ** attempt);
    assert.ok(wait >= most / 2 && wait <= most, `${wait} of ${most}`);
  });
});

test("after a connection it comes back soon: in half a second, or in two where that one was short", async () => {
  const { connection, sockets, statuses, accept } = connected();
  connection.run(operation("a"));
  for (let attempt = 0; attempt < 5; attempt++) {
    await settled();
    await sockets.at(-1)!.lose();
    await pass(30_000);
  }
  for (const lasted of [100, 6_000]) {
    const socket = await accept();
    await pass(lasted);
    await socket.lose();
    await pass(2_000);
  }
  const [short, long] = statuses.flatMap((status) => (status.state === "offline" ? [status.retryInMs] : [])).slice(-2);
  assert.ok(short! >= 1_000 && short! <= 2_000, `${short}`);
  assert.ok(long! >= 250 && long! <= 500, `${long}`);
});

test("one operation more than allowed fails, and so does what comes after the end", async () => {
  const { connection, accept } = connected(ANONYMOUS, 2);
  const [a, b, c, d] = [operation("a"), operation("b"), operation("c"), operation("d")];
  for (const one of [a, b, c]) connection.run(one);
  await accept();
  assert.equal(c.errors[0]?.code, "QUEUE_FULL");
  connection.close();
  connection.run(d);
  await settled();
  assert.deepEqual([a, b, d].map(({ errors }) => errors[0]?.code), ["CLOSED", "CLOSED", "CLOSED"]);
});

test("an error of one operation ends that one", async () => {
  const { connection, accept } = connected();
  const [a, b] = [operation("a"), operation("b")];
  connection.run(a);
  connection.run(b);
  const socket = await accept();
  socket.fail(0, "FORBIDDEN");
  socket.next(1, "more");
  assert.equal(a.errors[0]?.code, "FORBIDDEN");
  assert.deepEqual(b.seen, ["more"]);
});
