/** One subscription for all components that ask for the same, as `useSyncExternalStore` wants it. */

import type { Client } from "./client.ts";

/** Puts a new snapshot in the place of the last; returns what ends it. */
export type Start<S> = (update: (snapshot: S) => void) => () => void;

interface Store {
  snapshot: unknown;
  readonly listeners: Set<() => void>;
  stop(): void;
  cancelEnd(): void;
}

/** A component that is mounted again at once (StrictMode, the next page) finds what was there. */
const LINGER_MS = 200;

const stores = new WeakMap<Client, Map<string, Store>>();

/**
 * @param key the same for whatever may share a subscription.
 * @param initial the snapshot until there is another; on a server, always.
 */
export function shared<S>(client: Client, key: string, initial: S, start: Start<S>) {
  const all = stores.get(client) ?? new Map<string, Store>();
  stores.set(client, all);

  // Nothing is made before a component is there to stay: a render alone may be thrown away.
  const open = (): Store => {
    const store: Store = { snapshot: initial, listeners: new Set(), stop: () => {}, cancelEnd: () => {} };
    all.set(key, store);
    store.stop = start((snapshot) => {
      store.snapshot = snapshot;
      for (const listener of [...store.listeners]) listener();
    });
    return store;
  };

  return {
    subscribe(listener: () => void): () => void {
      const store = all.get(key) ?? open();
      const own = () => listener();
      store.cancelEnd();
      store.listeners.add(own);
      return () => {
        store.listeners.delete(own);
        if (store.listeners.size) return;
        const timer = setTimeout(() => {
          all.delete(key);
          store.stop();
        }, LINGER_MS);
        store.cancelEnd = () => clearTimeout(timer);
      };
    },
    snapshot: () => (all.get(key)?.snapshot ?? initial) as S,
    initial: () => initial,
  };
}
