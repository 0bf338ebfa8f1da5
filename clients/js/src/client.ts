/** A client of one project on one server. */

import { callsOver } from "./calls.ts";
import { type Channel, channelOf } from "./channel.ts";
import { type Connection, connectionTo, type Status } from "./connection.ts";
import { Viewer } from "./generated.ts";
import { type ClientTokenStorage, identityOf, type TokenSource } from "./identity.ts";
import { randomId } from "./random.ts";

export interface ClientOptions {
  /** Where `/graphql` is: http(s)://, ws(s):// or relative to the page. */
  readonly url: string | URL;
  readonly projectId: string;
  /** A JWT, or what fetches one. It is asked again at each connection and before a token expires. */
  readonly token?: TokenSource | undefined;
  /**
   * Where the client id that the server signs for a visitor without a token is kept; by default
   * the page's `localStorage`, else memory. false: none is asked for.
   */
  readonly clientTokens?: ClientTokenStorage | false;
  /** The widget instance that messages name; by default the signed id, or one that the server makes up. */
  readonly clientId?: string;
  /** How many calls (publishes, votes, retractions, searches), and bytes of them, may wait for an answer; 500 and 1 MiB. */
  readonly queue?: { readonly messages?: number; readonly bytes?: number };
  /** A WebSocket class, where there is none. */
  readonly webSocketImpl?: unknown;
}

export interface Client {
  readonly projectId: string;
  /** What the connection does now. */
  readonly status: Status;
  /** Call `listener` with each change of `status`; returns what ends that. */
  onStatus(listener: (status: Status) => void): () => void;
  /** A channel of the project; `Data` is what its messages carry. */
  channel<Data = unknown>(widgetId: string): Channel<Data>;
  /** Who you are to the server. */
  viewer(): Promise<Viewer>;
  /** What `widgetwire/graphql` sends over. */
  readonly connection: Connection;
  /** End everything. What waits fails with CLOSED. */
  close(): void;
}

/** Live subscriptions and documents at once; the server allows 100 subscriptions a connection. */
const MAX_OPEN = 200;

/** Make a client. It connects when there is something to do. */
export function createClient(options: ClientOptions): Client {
  const { projectId, token, clientTokens, queue = {}, webSocketImpl } = options;
  // Keys hold to the publisher: without a signed id, over all connections to this one.
  const clientId = options.clientId ?? (clientTokens === false ? randomId() : undefined);
  // A relative address on a server that renders a page: nobody connects there.
  const { href } = new URL(options.url, globalThis.location?.href ?? "http://localhost");
  const { messages = 500, bytes = 1 << 20 } = queue;
  const identity = identityOf(href.replace(/^ws/, "http"), token, clientTokens);
  const connection = connectionTo(href.replace(/^http/, "ws"), identity, messages + MAX_OPEN, webSocketImpl);
  const calls = callsOver(connection, messages, bytes);
  return {
    projectId,
    get status() {
      return connection.status();
    },
    onStatus: connection.onStatus,
    channel: <Data>(widgetId: string) => channelOf<Data>(connection, calls, projectId, widgetId, clientId),
    viewer: async () => (await calls.run("viewer", Viewer, {})).viewer,
    connection,
    close() {
      connection.close();
      calls.flush();
    },
  };
}
