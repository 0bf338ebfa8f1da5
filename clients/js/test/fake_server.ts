/** A WebSocket whose other end is the test. */

import { mock } from "node:test";
import { type Connection, connectionTo, type Status } from "../src/connection.ts";
import type { Identity } from "../src/identity.ts";

interface Frame {
  readonly type: string;
  readonly id?: string;
  readonly payload?: { query: string; variables: Record<string, any> } & Record<string, any>;
}

/** One connection as the server has it. */
export class FakeSocket {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;

  readyState = 0;
  /** Whether it leaves pings without an answer. */
  silent = false;
  closedWith: number | undefined;
  readonly frames: Frame[] = [];
  onopen: () => void = () => {};
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: ((event: unknown) => void) | null = null;
  onmessage: (event: { data: string }) => void = () => {};

  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  send(text: string): void {
    const frame: Frame = JSON.parse(text);
    this.frames.push(frame);
    if (frame.type === "ping" && !this.silent) queueMicrotask(() => this.say({ type: "pong" }));
  }

  close(code: number): void {
    this.closedWith = code;
    this.readyState = FakeSocket.CLOSED;
  }

  /** What was asked to begin, in order. */
  get operations(): Frame[] {
    return this.frames.filter(({ type }) => type === "subscribe");
  }

  async accept(): Promise<void> {
    this.readyState = FakeSocket.OPEN;
    this.onopen();
    await settled();
    this.say({ type: "connection_ack" });
    await settled();
  }

  say(frame: object): void {
    this.onmessage({ data: JSON.stringify(frame) });
  }

  /** A result of the nth operation. */
  next(place: number, data: unknown): void {
    this.say({ type: "next", id: this.operations[place]!.id, payload: { data } });
  }

  complete(place: number): void {
    this.say({ type: "complete", id: this.operations[place]!.id });
  }

  fail(place: number, code: string, retryAfterMs?: number): void {
    const error = { message: `said ${code}`, extensions: { code, retryAfterMs } };
    this.say({ type: "error", id: this.operations[place]!.id, payload: [error] });
  }

  async lose(code = 1006, reason = ""): Promise<void> {
    this.readyState = FakeSocket.CLOSED;
    this.onclose?.({ code, reason });
    await settled();
  }
}

/** Let everything that is due now happen. */
export const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
};

/** Let time pass. */
export async function pass(milliseconds: number): Promise<void> {
  mock.timers.tick(milliseconds);
  await settled();
}

export const ANONYMOUS: Identity = {
  renewable: false,
  expires: () => undefined,
  token: async () => undefined,
  parameters: async () => ({ authToken: undefined, clientToken: undefined }),
  dropClientToken: () => {},
};

/** A connection whose server is the test; use mocked timers. */
export function connected(identity: Identity = ANONYMOUS, maxOperations = 100) {
  const sockets: FakeSocket[] = [];
  const statuses: Status[] = [];
  class Made extends FakeSocket {
    constructor(url: string) {
      super(url);
      sockets.push(this);
    }
  }
  const connection: Connection = connectionTo("ws://test/graphql", identity, maxOperations, Made);
  connection.onStatus((status) => statuses.push(status));
  const accept = async (): Promise<FakeSocket> => {
    await settled();
    const socket = sockets.at(-1)!;
    await socket.accept();
    return socket;
  };
  return {
    connection,
    sockets,
    statuses,
    /** Accept the connection that is being made. */
    accept,
    /** Lose the connection, and accept the one that comes after the backoff. */
    async reconnect(code = 1006, reason = ""): Promise<FakeSocket> {
      await sockets.at(-1)!.lose(code, reason);
      await pass(30_000);
      return accept();
    },
  };
}
