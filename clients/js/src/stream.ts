/** Something to listen to: with a callback, or with `for await`. */

import type { WidgetwireError } from "./errors.ts";

export interface Sink<T> {
  next(value: T): void;
  /** It has ended. */
  error(error: WidgetwireError): void;
}

/**
 * Each listener has a subscription of its own, which survives the loss of the connection.
 *
 * `for await` throws the `WidgetwireError` that ends the subscription, and ends it when the loop is left.
 */
export interface Stream<T> extends AsyncIterable<T> {
  /** Call `next` with each value; `error` once, if the server ends it. Returns what ends it. */
  subscribe(next: (value: T) => void, error?: (error: WidgetwireError) => void): () => void;
}

/** Opens what is listened to, and returns what closes it. Opened again, it goes on where it was. */
export type Source<T> = (sink: Sink<T>) => () => void;

// Nobody listens for errors: say it, unless the page closed the client itself.
const report = (error: WidgetwireError) => void (error.code === "CLOSED" || console.error(error));

/**
 * @param make a source; called once for each listener.
 * @param bound values that wait for a slow loop. With one more, the newest takes the place of the
 * last where that is all that counts (1); else the subscription is given up until the loop has
 * caught up, and then goes on where it was.
 */
export function streamOf<T>(make: () => Source<T>, bound: number): Stream<T> {
  return {
    subscribe: (next, error = report) => make()({ next, error }),
    [Symbol.asyncIterator]: () => iterate(make(), bound),
  };
}

function iterate<T>(source: Source<T>, bound: number): AsyncIterator<T, undefined> {
  let waiting: T[] = [];
  let failure: WidgetwireError | undefined;
  let ended = false;
  let close: (() => void) | undefined;
  const wakers: (() => void)[] = [];
  const wake = () => {
    for (const one of wakers.splice(0)) one();
  };
  const sink: Sink<T> = {
    next(value) {
      if (bound === 1) waiting = [];
      waiting.push(value);
      if (bound > 1 && waiting.length >= bound) {
        close?.();
        close = undefined;
      }
      wake();
    },
    error(problem) {
      failure = problem;
      wake();
    },
  };
  return {
    async next() {
      while (!waiting.length) {
        if (ended) return { done: true, value: undefined };
        if (failure) {
          ended = true;
          throw failure;
        }
        close ??= source(sink);
        await new Promise<void>((resolve) => wakers.push(resolve));
      }
      return { done: false, value: waiting.shift() as T };
    },
    async return() {
      ended = true;
      close?.();
      waiting = [];
      wake();
      return { done: true, value: undefined };
    },
  };
}
