/** One channel: what a widget publishes to, listens to and searches. */

import type { CallOptions, Calls } from "./calls.ts";
import type { Connection } from "./connection.ts";
import { eventsOf, type ChannelEvent, type EventOptions, type Message } from "./events.ts";
import {
  Count,
  Live,
  Publish,
  Retract,
  Search,
  type Aggregate,
  type MessageQuery,
  type OnRepeat,
  type PageInfo,
} from "./generated.ts";
import { type Stream, streamOf } from "./stream.ts";
import { randomId } from "./random.ts";
import { type Asked, subscriptionOver } from "./subscription.ts";

export interface PublishOptions extends CallOptions {
  /** The idempotency key, 1 to 128 printable characters; by default one that nobody else has. */
  readonly id?: string;
  /** REPLACE: the earlier message under the same id is taken back, and this one stored. */
  readonly onRepeat?: OnRepeat;
  /** false: to whoever is connected now, never stored, and never sent a second time. */
  readonly persistent?: boolean;
}

/** What to search for, and what else of it to tell. */
export interface Query extends MessageQuery {
  /** Count all that match, not only the page. */
  readonly totalCount?: boolean;
  /** A field such as "data.score": count, smallest, largest, sum and average of its values, in all and in each group. */
  readonly aggregate?: string;
}

export interface Group {
  readonly key: unknown;
  readonly count: number;
  readonly aggregate?: Aggregate;
}

export interface Result<Data = unknown> {
  /** The page of messages; empty with groupBy. */
  readonly messages: readonly Message<Data>[];
  /** The page of groups; empty without groupBy. */
  readonly groups: readonly Group[];
  readonly pageInfo: PageInfo;
  readonly totalCount?: number;
  readonly aggregate?: Aggregate;
}

/** Events that wait for a slow `for await`. */
const MAX_WAITING = 1_000;
/** A result or a count: only the newest counts. */
const NEWEST = 1;

const asked = ({ totalCount = false, aggregate, ...query }: Query) => ({
  query,
  total: totalCount,
  grouped: !!query.groupBy,
  measured: !!aggregate,
  field: aggregate ?? "",
});

const resultOf = <Data>(found: object) => ({ messages: [], groups: [], ...found }) as unknown as Result<Data>;

/** What is published to one channel, listened to and searched. */
export interface Channel<Data = unknown> {
  readonly projectId: string;
  readonly widgetId: string;
  /**
   * Publish a message, and return its record once it is stored.
   *
   * Without a connection it waits for one. It is sent again until it is answered, always under
   * one `id`, so that it is published once. What the server asks to repeat within 5 s
   * (RATE_LIMITED) is repeated.
   *
   * @throws WidgetwireError with the server's `code`; QUEUE_FULL: as much as may wait does.
   */
  publish(data: Data, options?: PublishOptions): Promise<Message<Data>>;
  /** Vote: `{choice}` under one `id` ("vote"), so that the voter's next vote takes the place of this one. */
  vote<Choice>(choice: Choice, options?: { readonly id?: string } & CallOptions): Promise<Message<{ readonly choice: Choice }>>;
  /** Take messages back, and return how many: your own, or with the permission `moderate` anybody's. */
  retract(ids: readonly string[], options?: { readonly reason?: string } & CallOptions): Promise<number>;
  /** Search once. */
  search(query?: Query, options?: CallOptions): Promise<Result<Data>>;
  /** The result of a search now, and again each time it changes. */
  live(query?: Query): Stream<Result<Data>>;
  /** Everything that happens: messages, retractions, changes of the policy. */
  events(options?: EventOptions): Stream<ChannelEvent<Data>>;
  /** The messages alone; of retractions only `events` tells. */
  messages(options?: EventOptions): Stream<Message<Data>>;
  /** How many are connected, now and with each change. */
  count(): Stream<number>;
}

/** @param clientId what messages name; undefined: the signed id, or one that the server makes up. */
export function channelOf<Data>(
  connection: Connection,
  calls: Calls,
  projectId: string,
  widgetId: string,
  clientId: string | undefined,
): Channel<Data> {
  const name = { projectId, widgetId };
  const stream = <T>(bound: number, make: () => Asked<T>) =>
    streamOf(() => subscriptionOver(connection, make()), bound);
  const newest = <T>(query: string, variables: object, take: (data: never) => T) => {
    const payload = { query, variables: { ...name, ...variables } };
    return stream(NEWEST, () => ({ payload: () => payload, take }));
  };

  const channel: Channel<Data> = {
    ...name,
    async publish(data, { id = randomId(), onRepeat = "KEEP", persistent = true, signal } = {}) {
      const variables = { ...name, data, id, onRepeat, persistent, clientId };
      return (await calls.run(widgetId, Publish, variables, { signal }, !persistent)).publish as Message<Data>;
    },
    vote: (choice, options) =>
      channel.publish({ choice } as never, { id: "vote", ...options, onRepeat: "REPLACE" }) as Promise<never>,
    retract: async (ids, { reason, signal } = {}) =>
      (await calls.run(widgetId, Retract, { ...name, ids, reason }, { signal })).retract,
    search: async (query = {}, options) =>
      resultOf((await calls.run(`${widgetId}?`, Search, { ...name, ...asked(query) }, options)).messages),
    live: (query = {}) => newest(Live, asked(query), (data: { liveMessages: object }) => resultOf<Data>(data.liveMessages)),
    events: (options = {}) => stream(MAX_WAITING, () => eventsOf(name, options, (event: ChannelEvent<Data>) => event)),
    messages: (options = {}) =>
      stream(MAX_WAITING, () =>
        eventsOf(name, options, (event: ChannelEvent<Data>) => (event.type === "message" ? event.message : undefined)),
      ),
    count: () => newest(Count, {}, (data: { connectionCount: { count: number } }) => data.connectionCount.count),
  };
  return channel;
}
