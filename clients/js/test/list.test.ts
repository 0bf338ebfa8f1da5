import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import type { Channel } from "../src/channel.ts";
import { WidgetwireError } from "../src/errors.ts";
import type { ChannelEvent, Message } from "../src/events.ts";
import { follow, type MessageList } from "../src/list.ts";

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
});

const message = (id: string) => ({ type: "message", message: { id } as Message }) as const;

function followed(limit = 10) {
  let tell: (event: ChannelEvent) => void = () => {};
  let fail: (error: WidgetwireError) => void = () => {};
  const lists: MessageList[] = [];
  let stopped = false;
  const subscribe = (next: typeof tell, error: typeof fail) => {
    [tell, fail] = [next, error];
    return () => (stopped = true);
  };
  const stop = follow({ events: () => ({ subscribe }) } as unknown as Channel, {}, limit, (list) => lists.push(list));
  return {
    lists,
    stop,
    stopped: () => stopped,
    fail: (error: WidgetwireError) => fail(error),
    tell: (...events: ChannelEvent[]) => events.forEach((event) => tell(event)),
    newest: () => ({ ids: lists.at(-1)!.messages.map(({ id }) => id).join(""), loading: lists.at(-1)!.loading }),
  };
}

test("what was stored before comes as one list", () => {
  const { tell, lists, newest } = followed();
  tell(message("a"), message("b"));
  mock.timers.tick(100);
  assert.equal(lists.length, 0);
  tell({ type: "caughtUp" });
  assert.deepEqual(newest(), { ids: "ab", loading: false });
});

test("what comes at once makes one list, and the one before stays as it was", () => {
  const { tell, lists, newest } = followed();
  tell(message("a"), { type: "caughtUp" }, message("b"), message("c"), { type: "retracted", ids: ["a"], reason: null });
  mock.timers.tick(16);
  assert.equal(lists.length, 2);
  assert.deepEqual(newest(), { ids: "bc", loading: false });
  assert.deepEqual(lists[0]!.messages.map(({ id }) => id), ["a"]);
});

test("with one message more than it keeps, the oldest goes", () => {
  const { tell, newest } = followed(2);
  tell({ type: "caughtUp" }, message("a"), message("b"), message("c"));
  mock.timers.tick(16);
  assert.equal(newest().ids, "bc");
});

test("a new beginning takes the place of all that came", () => {
  const { tell, newest } = followed();
  tell(message("a"), { type: "caughtUp" }, { type: "reset" }, message("b"), { type: "caughtUp" });
  assert.equal(newest().ids, "b");
});

test("an end leaves what there is, with the reason", () => {
  const { tell, fail, lists } = followed();
  tell(message("a"));
  fail(new WidgetwireError("FORBIDDEN", "no"));
  assert.equal(lists.at(-1)!.error?.code, "FORBIDDEN");
  assert.equal(lists.at(-1)!.messages.length, 1);
});

test("stopped, it tells no more", () => {
  const { tell, stop, stopped, lists } = followed();
  tell({ type: "caughtUp" }, message("a"));
  stop();
  mock.timers.tick(100);
  assert.equal(stopped(), true);
  assert.equal(lists.length, 1);
});
