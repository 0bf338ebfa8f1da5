/** React hooks. Components that ask for the same share one subscription. */

import { createContext, createElement, type ReactNode, useContext, useMemo, useSyncExternalStore } from "react";
import type { Channel, PublishOptions, Query, Result } from "./channel.ts";
import type { Client } from "./client.ts";
import type { Status } from "./connection.ts";
import type { WidgetwireError } from "./errors.ts";
import type { EventOptions, Message } from "./events.ts";
import { follow, LOADING, type MessageList } from "./list.ts";
import { shared, type Start } from "./shared.ts";

export type { MessageList } from "./list.ts";

const Context = createContext<Client | undefined>(undefined);

/** Gives its children a client; whoever made the client closes it. */
export function WidgetwireProvider({ client, children }: { client: Client; children?: ReactNode }): ReactNode {
  return createElement(Context.Provider, { value: client }, children);
}

/** The client of the provider above. */
export function useClient(): Client {
  const client = useContext(Context);
  if (!client) throw new Error("there is no <WidgetwireProvider client={…}> above this component");
  return client;
}

/** A channel of the client. */
export function useChannel<Data = unknown>(widgetId: string): Channel<Data> {
  const client = useClient();
  return useMemo(() => client.channel<Data>(widgetId), [client, widgetId]);
}

function useShared<S>(key: string, initial: S, start: Start<S>): S {
  const client = useClient();
  // Equal keys start the same: the first render's `start` will do.
  const store = useMemo(() => shared(client, key, initial, start), [client, key]);
  return useSyncExternalStore(store.subscribe, store.snapshot, store.initial);
}

export interface UseMessagesOptions extends EventOptions {
  /** Messages that are kept, the newest; 500. */
  readonly limit?: number;
}

/** The newest messages of a channel, 50 to begin with, kept up to date. */
export function useMessages<Data = unknown>(widgetId: string, options: UseMessagesOptions = {}): MessageList<Data> {
  const channel = useChannel<Data>(widgetId);
  const { limit = 500, last = Math.min(50, limit), after, filters } = options;
  const key = JSON.stringify(["messages", widgetId, limit, last, after, filters]);
  return useShared<MessageList<Data>>(key, LOADING, (update) => follow(channel, { last, after, filters }, limit, update));
}

export interface LiveResult<Data = unknown> {
  /** The newest; undefined until the first has come. */
  readonly result?: Result<Data>;
  /** Why nothing comes any more. */
  readonly error?: WidgetwireError;
}

const NOTHING: LiveResult<never> = {};

/** The result of a search, kept up to date. */
export function useLive<Data = unknown>(widgetId: string, query: Query = {}): LiveResult<Data> {
  const channel = useChannel<Data>(widgetId);
  return useShared<LiveResult<Data>>(JSON.stringify(["live", widgetId, query]), NOTHING, (update) => {
    let newest: LiveResult<Data> = NOTHING;
    return channel.live(query).subscribe(
      (result) => update((newest = { result })),
      (error) => update({ ...newest, error }),
    );
  });
}

/** How many are connected to a channel; undefined until it is known. */
export function useCount(widgetId: string): number | undefined {
  const channel = useChannel(widgetId);
  return useShared<number | undefined>(JSON.stringify(["count", widgetId]), undefined, (update) =>
    channel.count().subscribe(update, () => update(undefined)),
  );
}

/** What publishes to a channel; the same function in each render. */
export function usePublish<Data = unknown>(
  widgetId: string,
): (data: Data, options?: PublishOptions) => Promise<Message<Data>> {
  const channel = useChannel<Data>(widgetId);
  return useMemo(() => (data, options) => channel.publish(data, options), [channel]);
}

const IDLE: Status = { state: "idle" };

/** What the connection does. */
export function useStatus(): Status {
  const client = useClient();
  return useSyncExternalStore(
    useMemo(() => (listener: () => void) => client.onStatus(listener), [client]),
    () => client.status,
    () => IDLE,
  );
}
