/** Any operation over the client's connection, for Apollo, urql, Relay and your own documents. */

import type { Client } from "./client.ts";
import type { Payload, Response } from "./connection.ts";

/** A sink as graphql-ws has it. */
export interface GraphQLSink {
  next(response: never): void;
  error(error: unknown): void;
  complete(): void;
}

/**
 * Run an operation over a client's connection; takes what graphql-ws' `subscribe` does, and
 * returns what ends it.
 *
 * A query or mutation under way is sent again after a lost connection: give `publish` an `id`.
 * A subscription to `messages` or `channelEvents` that declares `$after` and `$last` goes on
 * without a gap or a repeat, if it selects `id` and `persistent` of messages, `cursor` of events.
 */
export function subscribe(client: Client, payload: Payload, sink: GraphQLSink): () => void {
  let place = {};
  const follow = ({ data }: Response) => {
    const { messages, channelEvents } = (data ?? {}) as {
      messages?: { id?: string; persistent?: boolean };
      channelEvents?: { cursor?: string | null; message?: { persistent?: boolean } };
    };
    const stored = channelEvents?.message?.persistent !== false;
    const cursor = messages?.persistent ? messages.id : stored && channelEvents?.cursor;
    if (cursor) place = { after: cursor, last: null };
  };
  return client.connection.run({
    payload: () => ({ ...payload, variables: { ...payload.variables, ...place } }),
    next(response) {
      follow(response);
      sink.next(response as never);
    },
    // Apollo and urql tell a list of GraphQL errors from a lost connection.
    error: (error, errors) => sink.error(errors ?? error),
    complete: () => sink.complete(),
  });
}
