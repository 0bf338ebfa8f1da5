/** A subscription that the server turned down for now is asked for again. */

import type { Connection, Payload } from "./connection.ts";
import { failureOf, WidgetwireError } from "./errors.ts";
import type { Source } from "./stream.ts";
import { after, backoff } from "./waiting.ts";

export interface Asked<T> {
  /** What to send at each connection. */
  payload(): Payload;
  /** Take a result in, and return what the listener gets of it, if anything. */
  take(data: never): T | undefined;
  /** What the listener gets, if anything, before another try that begins at once; undefined: none would help. */
  recovers?(error: WidgetwireError): { readonly tell: T | undefined } | undefined;
}

/** What is asked as a source that goes on over all connections. */
export function subscriptionOver<T>(connection: Connection, asked: Asked<T>): Source<T> {
  return (sink) => {
    let stop = () => {};
    let closed = false;
    let attempts = 0;
    const tell = (value: T | undefined) => {
      if (value !== undefined) sink.next(value);
    };
    const begin = () => {
      stop = connection.run({
        payload: asked.payload,
        next({ data, errors }) {
          attempts = 0;
          if (errors) {
            const error = failureOf(errors);
            // A live result that cannot be had now comes again by itself.
            return error.code === "UNAVAILABLE" ? undefined : failed(error);
          }
          tell(asked.take(data as never));
        },
        error: failed,
        complete: () => failed(new WidgetwireError("UNAVAILABLE", "the server ended the subscription")),
      });
    };
    const failed = (error: WidgetwireError) => {
      stop();
      if (closed) return;
      const recovery = asked.recovers?.(error);
      if (recovery) {
        tell(recovery.tell);
        return closed || begin();
      }
      const { code, retryAfterMs = 0, closeCode } = error;
      const passes = !closeCode && (code === "UNAVAILABLE" || (code === "RATE_LIMITED" && retryAfterMs));
      if (!passes) return sink.error(error);
      stop = after(Math.max(retryAfterMs, backoff(attempts++)), begin);
    };
    begin();
    return () => {
      closed = true;
      stop();
    };
  };
}
