/** Types of `player-api.js`, which puts `c8PlayerApi` into the page. */

declare namespace C8PlayerApi {
  /** Any JSON value. */
  type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

  /** One published record. */
  interface WidgetMessage<Data = any> {
    /** UUID version 7, unique over all widgets. */
    id: string;
    /** The widget instance that published it. */
    client_id: string;
    /** Server time, milliseconds since the Unix epoch. */
    created: number;
    /** What the widget published. */
    data: Data;
    /** From the publisher's verified token; null for an anonymous one. */
    username: string | null;
  }

  interface WebSocketOptions {
    /** Whether published messages are stored and searchable. Default: false. */
    persistent?: boolean;
    /** Default: the script's `data-project`. */
    project?: string;
    /** Default: the script's `data-widget`. */
    widget?: string;
    /**
     * Default: the script's `data-auth-token`, read at each connect. A function is called
     * at each connect: give one if tokens expire.
     */
    token?: string | (() => string | undefined | Promise<string | undefined>);
    /** 1 to 128 printable characters that name this widget instance. Default: a random one. */
    client_id?: string;
  }

  /** Code of a refusal, as in GraphQL's `extensions.code`; CLOSED: the page closed the socket. */
  type ErrorCode =
    | "BAD_USER_INPUT"
    | "UNAUTHENTICATED"
    | "FORBIDDEN"
    | "PAYLOAD_TOO_LARGE"
    | "RATE_LIMITED"
    | "UNKNOWN_CURSOR"
    | "UNAVAILABLE"
    | "INTERNAL_SERVER_ERROR"
    | "CLOSED";

  interface WidgetError extends Error {
    code: ErrorCode;
    /** With UNAVAILABLE: when the same call may succeed, where the server knows. */
    retryAfterMs?: number;
    /** The WebSocket close code, when a connection ended. */
    closeCode?: number;
  }

  interface CloseEvent {
    code: number;
    reason: string;
    /** Whether the socket reconnects by itself; `onOpen` is called again when it has. */
    willReconnect: boolean;
  }

  type Operator =
    | ">"
    | ">="
    | "<"
    | "<="
    | "="
    | "=="
    | "!="
    | "<>"
    | "in"
    | "not in"
    | "contains"
    | "starts with"
    | "ends with"
    | "exists"
    // Words such as "greater than or equal to" and GraphQL names, in any case.
    | (string & {});

  /** A comparison, or exactly one of `and`, `or`, `not`. */
  type Filter =
    | { field: string; operator: Operator; value: Json }
    | { and: Filter[] }
    | { or: Filter[] }
    | { not: Filter };

  interface Query {
    /** "id", "client_id", "created", "username", "data" or a path such as "data.score". */
    sortField?: string;
    sortOrder?: "asc" | "desc" | "ASC" | "DESC";
    /** At most 100000. Default: 0. */
    offset?: number;
    /** At most 1000. Default: 50. */
    limit?: number;
    /** All must hold. */
    filters?: Filter[];
  }

  /** Counts messages by the values of a field; `sortField` is then "count" or "key". */
  interface GroupQuery extends Query {
    groupBy: string;
  }

  interface Result<Row> {
    /** How many match in all, of which `resultSet` is one page. */
    totalRecords: number;
    resultSet: Row[];
  }

  interface Group {
    key: any;
    count: number;
  }

  interface Search<Q, Row> {
    query?: Q;
    success?: (result: Result<Row>) => void;
    error?: (error: WidgetError) => void;
  }

  interface WebSocket<Data = any> {
    /** The connection is open; called again after each reconnect. */
    onOpen: (() => void) | null;
    /** A message of the widget, one's own included; never called twice for one message. */
    onMessage: ((message: WidgetMessage<Data>) => void) | null;
    /** `message.data` is the number of open connections. */
    onActiveConnectionsChange: ((message: { data: number }) => void) | null;
    onClose: ((event: CloseEvent) => void) | null;
    /** The connection failed; `onClose` follows. */
    onError: ((error: WidgetError) => void) | null;
    readonly client_id: string;
    /** From the token, once open; null for an anonymous client. */
    readonly username: string | null;

    /**
     * Publish a message. Queued until the socket is open, and sent again after a reconnect,
     * without ever being stored twice.
     * @returns the record, once the server has stored it (or, of a socket that is not
     * persistent, has handed it on). Rejects with a `WidgetError`.
     */
    publish(data: Data): Promise<WidgetMessage<Data>>;

    /** Search the stored messages. */
    search(options: Search<GroupQuery, Group>): Promise<Result<Group>>;
    search(options?: Search<Query, WidgetMessage<Data>>): Promise<Result<WidgetMessage<Data>>>;

    /** Close for good; calls that were not answered reject with the code CLOSED. Idempotent. */
    close(): void;
  }

  interface Api {
    webSocket: new <Data = any>(options?: WebSocketOptions) => WebSocket<Data>;
    /** "widgetDestroy" is fired by the player, and on page hide. */
    on(event: "widgetDestroy", handler: () => void): void;
    on(event: string, handler: (...args: any[]) => void): unknown;
    /** Fire an event; for pages that remove a widget without a player around it. */
    emit(event: string, ...args: unknown[]): void;
    /** Members of a player that was there before the script. */
    [member: string]: any;
  }
}

declare var c8PlayerApi: C8PlayerApi.Api;
