/** One WebSocket for everything: opened when there is something to do, opened again when it is lost. */

import { createClient as createSocket, type Client as Socket } from "graphql-ws/client";
import { failureOf, type GraphQLFailure, WidgetwireError } from "./errors.ts";
import { Authenticate } from "./generated.ts";
import type { Identity } from "./identity.ts";
import { after, backoff, nothing } from "./waiting.ts";

/** What the connection does, told with each change. */
export type Status =
  /** Nothing to do; it connects by itself once there is. */
  | { readonly state: "idle" }
  | { readonly state: "connecting" }
  | { readonly state: "online" }
  /** Lost, or not to be had; it tries again in `retryInMs`. */
  | { readonly state: "offline"; readonly reason: string; readonly retryInMs: number }
  /** The server refuses it, for a bad token for example. What was under way has failed; the next call tries again. */
  | { readonly state: "refused"; readonly error: WidgetwireError }
  | { readonly state: "closed" };

export interface Payload {
  readonly query: string;
  readonly variables?: Record<string, unknown> | null;
  readonly operationName?: string | null;
  readonly extensions?: Record<string, unknown> | null;
}

export interface Response {
  readonly data?: unknown;
  readonly errors?: readonly GraphQLFailure[];
}

/** Something that goes on over all connections until it ends by itself or is stopped. */
export interface Operation {
  /** What to send, asked anew at each connection. */
  payload(): Payload;
  /** Not to be sent a second time: it fails where the connection is lost before the answer. */
  readonly once?: boolean;
  next(response: Response): void;
  /** It has ended; nothing comes any more. */
  error(error: WidgetwireError, errors?: readonly GraphQLFailure[]): void;
  complete(): void;
}

export interface Connection {
  status(): Status;
  /** Call `listener` with each change; returns what ends that. */
  onStatus(listener: (status: Status) => void): () => void;
  /** Begin an operation; returns what stops it. */
  run(operation: Operation): () => void;
  /** End everything; what waits fails with CLOSED. */
  close(): void;
}

// What the server closes with when coming back makes no sense, and what graphql-ws closes with.
const FINAL = [1009, 4004, 4005, 4400, 4401, 4406, 4409, 4429];
const EXPIRED = 4403;
const IDLE_MS = 2_000;
const PING_MS = 10_000;
const PONG_MS = 5_000;
const ACK_MS = 10_000;
/** For a token, a signed client id and a connection. */
const CONNECT_MS = 30_000;
/** Older connections start the backoff anew, younger ones from 2 s at the most. */
const STABLE_MS = 5_000;
const MOST_SHORT = 2;
const REFRESH_BEFORE_MS = 30_000;

const closedError = () => new WidgetwireError("CLOSED", "the client is closed");

/**
 * @param url of the WebSocket.
 * @param maxOperations live ones and waiting ones; with one more, that one fails with QUEUE_FULL.
 * @param webSocketImpl a class, where there is no global one.
 */
export function connectionTo(
  url: string,
  identity: Identity,
  maxOperations: number,
  webSocketImpl: unknown,
): Connection {
  // In the order in which they began, which is the order they are sent in again.
  const operations = new Map<Operation, (() => void) | undefined>();
  const listeners = new Set<{ readonly tell: (status: Status) => void }>();
  let status: Status = { state: "idle" };
  let socket: Socket | undefined;
  let attempts = 0;
  let onlineSince = 0;
  let operationIds = 0;
  let turn = 0; // an outdated attempt gives up
  let stopRetrying = nothing;
  let stopIdling = nothing;
  let stopRefreshing = nothing;

  const retryNow = () => void connect();

  const set = (next: Status) => {
    status = next;
    // Browsers say when the network is back; Node does not.
    if (next.state === "offline") globalThis.addEventListener?.("online", retryNow);
    else globalThis.removeEventListener?.("online", retryNow);
    for (const { tell } of [...listeners]) tell(next);
  };

  /** Leave the connection there is, or the attempt. */
  const drop = (): number => {
    // It rejects where there never was a connection.
    if (socket) Promise.resolve(socket.dispose()).catch(nothing);
    socket = undefined;
    onlineSince = 0;
    stopRetrying();
    stopIdling();
    stopRefreshing();
    return ++turn;
  };

  const fail = (error: WidgetwireError) => {
    const failed = [...operations.keys()];
    operations.clear();
    for (const operation of failed) operation.error(error);
  };

  const refuse = (error: WidgetwireError) => {
    set({ state: "refused", error });
    fail(error);
  };

  const offline = (reason: string) => {
    if (!operations.size) return set({ state: "idle" });
    const retryInMs = backoff(attempts++);
    stopRetrying = after(retryInMs, retryNow);
    set({ state: "offline", reason, retryInMs });
  };

  const remove = (operation: Operation) => {
    const stop = operations.get(operation);
    if (operations.delete(operation) && !operations.size) {
      // A moment later: pages leave one thing and begin the next.
      stopIdling = after(IDLE_MS, () => {
        drop();
        set({ state: "idle" });
      });
    }
    return stop;
  };

  const start = (operation: Operation) => {
    const over = socket!;
    // An operation that fails because the connection did is not over.
    const current = () => over === socket && operations.has(operation);
    const stop = over.subscribe(operation.payload() as never, {
      next: (response) => current() && operation.next(response as Response),
      error(error) {
        if (!current() || !Array.isArray(error)) return;
        remove(operation);
        operation.error(failureOf(error), error);
      },
      complete() {
        if (!current()) return;
        remove(operation);
        operation.complete();
      },
    });
    operations.set(operation, stop);
  };

  /** Have the next token before this one expires. Where the server does not take it, it closes with 4403 in time. */
  const refreshLater = () => {
    const exp = identity.expires();
    if (!exp || !identity.renewable) return;
    const left = exp * 1000 - Date.now();
    stopRefreshing = after(Math.max(1_000, left - Math.min(REFRESH_BEFORE_MS, left / 5)), async () => {
      const over = socket;
      try {
        const token = await identity.token();
        if (over !== socket || identity.expires() === exp) return;
        over?.subscribe(
          { query: Authenticate, variables: { token } },
          { next: () => over === socket && refreshLater(), error: nothing, complete: nothing },
        );
      } catch {
        // The server closes when the old token has expired, and then the source is asked again.
      }
    });
  };

  const online = () => {
    onlineSince = Date.now();
    stopRetrying();
    set({ state: "online" });
    refreshLater();
    for (const operation of [...operations.keys()]) if (operations.has(operation)) start(operation);
  };

  const lost = (code: number, reason: string) => {
    // Whoever was let in a moment ago need not wait for long.
    if (onlineSince) attempts = Date.now() - onlineSince > STABLE_MS ? 0 : Math.min(attempts, MOST_SHORT);
    drop();
    const why = reason || `the connection was closed with ${code}`;
    if (reason.startsWith("the client token")) {
      // Too old, or of another secret: be somebody new.
      identity.dropClientToken();
    } else if (FINAL.includes(code) || (code === EXPIRED && !identity.renewable)) {
      const kind = code === 4401 || code === EXPIRED ? "UNAUTHENTICATED" : "REFUSED";
      return refuse(new WidgetwireError(kind, why, undefined, code));
    }
    for (const [operation, stop] of [...operations]) {
      operations.set(operation, undefined);
      if (!stop || !operation.once) continue;
      operations.delete(operation);
      operation.error(
        new WidgetwireError("UNAVAILABLE", "the connection was lost before the answer", undefined, code),
      );
    }
    offline(why);
  };

  const connect = async () => {
    const mine = drop();
    set({ state: "connecting" });
    stopRetrying = after(CONNECT_MS, () => {
      drop();
      offline(`no connection within ${CONNECT_MS} ms`);
    });
    let connectionParams: Awaited<ReturnType<Identity["parameters"]>>;
    try {
      connectionParams = await identity.parameters();
    } catch (error) {
      if (mine !== turn) return;
      stopRetrying();
      const { code, message } = error as WidgetwireError;
      if (code !== "UNAUTHENTICATED" && code !== "FORBIDDEN") return offline(message ?? `${error}`);
      if (!message.startsWith("the client token")) return refuse(error as WidgetwireError);
      identity.dropClientToken();
      return offline(message);
    }
    if (mine !== turn) return;
    let stopWaitingForPong = nothing;
    const made: Socket = createSocket({
      url,
      connectionParams,
      lazy: false,
      // To come back is this module's: it knows what may be sent again, and with which token.
      retryAttempts: 0,
      onNonLazyError: nothing,
      connectionAckWaitTimeout: ACK_MS,
      keepAlive: PING_MS,
      generateID: () => `${++operationIds}`,
      webSocketImpl,
      on: {
        connected: () => made === socket && online(),
        // A connection that died silently: nothing is closed, and nothing comes any more.
        ping(received) {
          if (!received) stopWaitingForPong = after(PONG_MS, () => made.terminate());
        },
        pong: (received) => received && stopWaitingForPong(),
        closed(event) {
          stopWaitingForPong();
          const { code = 1006, reason = "" } = event as { code?: number; reason?: string };
          if (made === socket) lost(code, reason);
        },
      },
    });
    socket = made;
  };

  return {
    status: () => status,
    onStatus(tell) {
      const listener = { tell };
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    run(operation) {
      const { state } = status;
      const refusal =
        state === "closed"
          ? closedError()
          : operations.size >= maxOperations &&
            new WidgetwireError("QUEUE_FULL", `${maxOperations} operations are open; no more are allowed`);
      if (refusal) {
        queueMicrotask(() => operation.error(refusal));
        return nothing;
      }
      stopIdling();
      operations.set(operation, undefined);
      if (state === "online") start(operation);
      else if (state === "idle" || state === "refused") void connect();
      return () => remove(operation)?.();
    },
    close() {
      if (status.state === "closed") return;
      drop();
      set({ state: "closed" });
      fail(closedError());
    },
  };
}
