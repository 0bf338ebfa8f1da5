import assert from "node:assert/strict";
import { test } from "node:test";
import { WidgetwireError } from "../src/errors.ts";
import { type ChannelEvent, type EventOptions, eventsOf as eventsWith, type Message } from "../src/events.ts";

const CHANNEL = { projectId: "p", widgetId: "w" };
const eventsOf = (channel: typeof CHANNEL, options: EventOptions) =>
  eventsWith(channel, options, (event: ChannelEvent) => event);
const message = (id: string, persistent = true) => ({ id, persistent, data: id });
const published = (id: string, persistent = true) =>
  ({ channelEvents: { __typename: "MessagePublished", message: message(id, persistent) } }) as never;
const retracted = (cursor: string) =>
  ({ channelEvents: { __typename: "MessagesRetracted", cursor, ids: ["m"], reason: "spam" } }) as never;
const caughtUp = (upTo: string | null) => ({ channelEvents: { __typename: "CaughtUp", upTo } }) as never;
const UNKNOWN = new WidgetwireError("UNKNOWN_CURSOR", "gone");

const placeOf = (asked: { payload(): { variables?: Record<string, unknown> | null } }) => {
  const { after, last } = asked.payload().variables!;
  return { after, last };
};

test("it begins where it is told to", () => {
  assert.deepEqual(placeOf(eventsOf(CHANNEL, { last: 5 })), { after: null, last: 5 });
  assert.deepEqual(placeOf(eventsOf(CHANNEL, { after: "x" })), { after: "x", last: null });
  assert.deepEqual(eventsOf(CHANNEL, {}).payload().variables, { ...CHANNEL, filters: [], after: null, last: null });
});

test("it goes on after the last message, retraction or place that was stored", () => {
  const events = eventsOf(CHANNEL, { last: 5 });
  events.take(published("1"));
  assert.deepEqual(placeOf(events), { after: "1", last: null });
  events.take(published("passing", false));
  assert.deepEqual(placeOf(events), { after: "1", last: null });
  assert.deepEqual(events.take(retracted("2")), { type: "retracted", ids: ["m"], reason: "spam" });
  assert.deepEqual(placeOf(events), { after: "2", last: null });
  assert.deepEqual(events.take(caughtUp("3")), { type: "caughtUp" });
  assert.deepEqual(placeOf(events), { after: "3", last: null });
});

test("of a channel that was empty, everything is new", () => {
  const events = eventsOf(CHANNEL, {});
  events.take(caughtUp(null));
  assert.deepEqual(placeOf(events), { after: null, last: 1_000 });
});

test("where the place was deleted it begins anew, and says so", () => {
  const events = eventsOf(CHANNEL, { last: 5 });
  events.take(published("1"));
  assert.deepEqual(events.recovers!(UNKNOWN), { tell: { type: "reset" } });
  assert.deepEqual(placeOf(events), { after: null, last: 5 });
});

test("a place that never was is the caller's mistake", () => {
  const events = eventsOf(CHANNEL, { after: "nowhere" });
  assert.equal(events.recovers!(UNKNOWN), undefined);
  assert.equal(events.recovers!(new WidgetwireError("FORBIDDEN", "no")), undefined);
});

test("messages alone leave out the rest, and keep its place", () => {
  const pick = (event: ChannelEvent): Message | undefined => (event.type === "message" ? event.message : undefined);
  const messages = eventsWith(CHANNEL, {}, pick);
  assert.deepEqual(messages.take(published("1")), message("1"));
  assert.equal(messages.take(retracted("2")), undefined);
  assert.deepEqual(placeOf(messages), { after: "2", last: null });
  assert.deepEqual(messages.recovers!(UNKNOWN), { tell: undefined });
});
