/** What is asked once and answered once: it waits for the connection, and survives its loss. */

import type { Connection } from "./connection.ts";
import { failureOf, WidgetwireError } from "./errors.ts";
import type { Operation as Text } from "./generated.ts";
import { after, backoff, nothing } from "./waiting.ts";

export interface CallOptions {
  /** Stop waiting. What was sent already may have been carried out. */
  readonly signal?: AbortSignal | undefined;
}

export interface Calls {
  /**
   * Send an operation until it is answered, and return its data.
   *
   * @param name calls of one lane keep their order, as long as the server turns none down.
   * @param once whether a second sending could do harm.
   */
  run<Variables extends object, Result>(
    name: string,
    query: Text<Variables, Result>,
    variables: Variables,
    options?: CallOptions,
    once?: boolean,
  ): Promise<Result>;
  /** Send what waits now; a closed connection fails it. */
  flush(): void;
}

/** Calls that wait because the server turned one of them down for now. */
interface Lane {
  /** Each with its place in the order of all calls. */
  readonly waiting: Map<() => void, number>;
  attempts: number;
  until: number;
  stop(): void;
}

/** What the server asks to wait is waited for; longer, and the caller is told. */
const PATIENCE_MS = 5_000;
/** The server closes at 1 MiB a message. */
const MAX_CALL_BYTES = 1_000_000;

/** @param maxCalls, maxBytes how many calls, and bytes of their JSON, may be unanswered. */
export function callsOver(connection: Connection, maxCalls: number, maxBytes: number): Calls {
  const lanes = new Map<string, Lane>();
  let unanswered = 0;
  let unansweredBytes = 0;
  let places = 0;

  const resume = (lane: Lane) => {
    lane.stop();
    lane.attempts += 1;
    const calls = [...lane.waiting].sort(([, a], [, b]) => a - b);
    lane.waiting.clear();
    for (const [send] of calls) send();
  };

  /** Milliseconds after which the same call may do better; undefined: never. */
  const waitAfter = ({ code, retryAfterMs = 0, closeCode }: WidgetwireError, lane: Lane, once: boolean) => {
    if (closeCode) return undefined;
    if (code === "RATE_LIMITED" && retryAfterMs && retryAfterMs <= PATIENCE_MS) return retryAfterMs;
    // The server may have done it all the same: only what has a key may be said again.
    return code === "UNAVAILABLE" && !once ? Math.max(retryAfterMs, backoff(lane.attempts)) : undefined;
  };

  return {
    async run(name, query, variables, { signal } = {}, once = false) {
      signal?.throwIfAborted();
      const payload = { query, variables: variables as Record<string, unknown> };
      const bytes = new TextEncoder().encode(JSON.stringify(payload)).length;
      if (bytes > MAX_CALL_BYTES) {
        throw new WidgetwireError("PAYLOAD_TOO_LARGE", `the call has ${bytes} bytes; allowed are ${MAX_CALL_BYTES}`);
      }
      if (unanswered >= maxCalls || unansweredBytes + bytes > maxBytes) {
        const waiting = `${unanswered} calls of ${unansweredBytes} bytes wait`;
        throw new WidgetwireError("QUEUE_FULL", `${waiting}; allowed are ${maxCalls} of ${maxBytes}`);
      }
      const lane = lanes.get(name) ?? { waiting: new Map(), attempts: 0, until: 0, stop: nothing };
      lanes.set(name, lane);
      const place = places++;
      let stop = nothing;
      let aborted = nothing;
      unanswered += 1;
      unansweredBytes += bytes;
      try {
        return await new Promise((resolve, reject) => {
          const send = () => {
            stop = connection.run({
              once,
              payload: () => payload,
              next({ data, errors }) {
                if (errors) return failed(failureOf(errors));
                lane.attempts = 0;
                resolve(data as never);
              },
              error: failed,
              complete: () => reject(new WidgetwireError("INTERNAL_SERVER_ERROR", "the server sent no answer")),
            });
          };
          const failed = (error: WidgetwireError) => {
            const wait = waitAfter(error, lane, once);
            if (wait === undefined) return reject(error);
            stop();
            lane.waiting.set(send, place);
            const until = Date.now() + wait;
            if (until <= lane.until) return;
            lane.until = until;
            lane.stop();
            lane.stop = after(wait, () => resume(lane));
          };
          aborted = () => {
            stop();
            lane.waiting.delete(send);
            reject(signal!.reason);
          };
          signal?.addEventListener("abort", aborted);
          if (lane.waiting.size) lane.waiting.set(send, place);
          else send();
        });
      } finally {
        signal?.removeEventListener("abort", aborted);
        unanswered -= 1;
        unansweredBytes -= bytes;
        if (!unanswered) lanes.clear();
      }
    },
    flush: () => lanes.forEach(resume),
  };
}
