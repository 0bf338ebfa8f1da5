/** What happens in a channel, without a gap or a repeat over any number of connections. */

import { Events, type ChannelPolicy, type Message as AnyMessage, type MessageFilter, type Operation } from "./generated.ts";
import type { Asked } from "./subscription.ts";

/** One published record, with `data` of your own type. */
export type Message<Data = unknown> = Omit<AnyMessage, "data"> & { readonly data: Data };

export type ChannelEvent<Data = unknown> =
  | { readonly type: "message"; readonly message: Message<Data> }
  /** Take these away: nothing shows them any more. */
  | { readonly type: "retracted"; readonly ids: readonly string[]; readonly reason: string | null }
  | { readonly type: "policy"; readonly policy: ChannelPolicy }
  /** All that was stored before has come; what follows is live. Comes again after each reconnection. */
  | { readonly type: "caughtUp" }
  /** The place to go on from was deleted: forget what came, it begins anew. */
  | { readonly type: "reset" };

export interface EventOptions {
  /** Which messages; all of these must hold. */
  readonly filters?: readonly MessageFilter[] | undefined;
  /** The newest n stored messages first, 0 to 1000. */
  readonly last?: number | undefined;
  /** The id of a message: everything after it first. */
  readonly after?: string | undefined;
}

type ResultOf<O> = O extends Operation<never, infer Result> ? Result : never;
type Sent = ResultOf<typeof Events>["channelEvents"];

/** What the newest replay may have: more was never asked of a channel that was empty. */
const MOST_REPLAYED = 1_000;

/** @param pick what the listener gets of an event, if anything. */
export function eventsOf<Data, T>(
  channel: { readonly projectId: string; readonly widgetId: string },
  { filters = [], last, after }: EventOptions,
  pick: (event: ChannelEvent<Data>) => T | undefined,
): Asked<T> {
  // Where to begin, and later where to go on.
  let place: { after?: string | null; last?: number | null } = { after: after ?? null, last: last ?? null };
  let reached = false;

  const goOnAfter = (cursor: string) => {
    place = { after: cursor, last: null };
    reached = true;
  };

  const read = (event: Sent): ChannelEvent<Data> => {
    switch (event.__typename) {
      case "MessagePublished": {
        const message = event.message as Message<Data>;
        // What is not stored is no place to go on from.
        if (message.persistent) goOnAfter(message.id);
        return { type: "message", message };
      }
      case "MessagesRetracted":
        goOnAfter(event.cursor);
        return { type: "retracted", ids: event.ids, reason: event.reason };
      case "ChannelPolicyChanged":
        return { type: "policy", policy: event.policy };
      case "CaughtUp":
        if (event.upTo !== null) goOnAfter(event.upTo);
        // The channel is empty: all that it will ever have came after.
        else place = { after: null, last: MOST_REPLAYED };
        return { type: "caughtUp" };
    }
  };

  return {
    payload: () => ({ query: Events, variables: { ...channel, filters, ...place } }),
    take: ({ channelEvents }: { channelEvents: Sent }) => pick(read(channelEvents)),
    recovers({ code }) {
      if (code !== "UNKNOWN_CURSOR" || !reached) return undefined;
      reached = false;
      place = { after: null, last: last ?? null };
      return { tell: pick({ type: "reset" }) };
    },
  };
}
