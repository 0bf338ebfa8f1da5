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
    /**
     * 1 to 128 printable characters that name this widget instance. Default: an id that the
     * server makes and signs for this visitor; the page's storage keeps it for the next visit.
     */
    client_id?: string;
  }

  interface PublishOptions {
    /**
     * What may be published once: 1 to 128 printable characters. The same id again, by the same
     * client, publishes nothing and returns the first record. Default: a random one.
     */
    id?: string;
    /**
     * "REPLACE": the same id again takes the earlier message back and publishes the new one, so
     * that a vote can be changed. Only where the socket is persistent. Default: "KEEP".
     */
    onRepeat?: "KEEP" | "REPLACE";
  }

  /** What the channel allows, as GraphQL's `ChannelPolicy`. */
  interface ChannelPolicy {
    /** Who may publish; "VERIFIED": whoever has a token or a client id that the server signed. */
    writers: "EVERYONE" | "VERIFIED" | "NOBODY";
    /** Between two messages of one publisher; 0: no wait. */
    slowModeSeconds: number;
    /** Of all publishers together; null: no bound. */
    maxPublishesPerSecond: number | null;
    /** Publishing is refused before; milliseconds since the Unix epoch. */
    opensAt: number | null;
    /** Publishing is refused from then on. */
    closesAt: number | null;
    hold: "NONE" | "UNTIL_APPROVED";
    blockedWords: string[];
    /** JSON Schema that `data` must satisfy. */
    dataSchema: Json;
    /** How long messages are kept; null: as long as the server keeps any. */
    retentionSeconds: number | null;
  }

  /** Code of a refusal, as in GraphQL's `extensions.code`; CLOSED: the page closed the socket. */
  type ErrorCode =
    | "BAD_USER_INPUT"
    | "UNAUTHENTICATED"
    | "FORBIDDEN"
    | "PAYLOAD_TOO_LARGE"
    | "RATE_LIMITED"
    | "REJECTED"
    | "UNKNOWN_CURSOR"
    | "UNAVAILABLE"
    | "INTERNAL_SERVER_ERROR"
    | "CLOSED";

  interface WidgetError extends Error {
    code: ErrorCode;
    /** With UNAVAILABLE and RATE_LIMITED: when the same call may succeed, where that is known. */
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
    sortOrder?: "asc" | "desc" | (string & {}); // in any case
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
    /** `message.data` are the ids of messages that were taken back; told once. */
    onRetract: ((message: { data: string[]; reason?: string }) => void) | null;
    /**
     * `message.data` is the channel's policy: after `onOpen` where it is not the default, after
     * each reconnect, and at each change.
     */
    onPolicyChange: ((message: { data: ChannelPolicy }) => void) | null;
    /**
     * The connection failed (`onClose` follows), or a call did whose promise nobody has asked:
     * that error has no `closeCode`.
     */
    onError: ((error: WidgetError) => void) | null;
    /** Empty until the socket is open, where the page chose none. */
    readonly client_id: string;
    /** From the token, once open; null for an anonymous client. */
    readonly username: string | null;

    /**
     * Publish a message. Queued until the socket is open, and sent again after a reconnect,
     * without ever being stored twice.
     * @returns the record, once the server has stored it (or, of a socket that is not
     * persistent, has handed it on). Rejects with a `WidgetError`, as all calls do; a refusal
     * of one call leaves the others as they are.
     */
    publish(data: Data, options?: PublishOptions): Promise<WidgetMessage<Data>>;

    /**
     * Take messages back: this client's own, or any with the permission `moderate`. Queued and
     * sent again as `publish` is.
     * @param ids at most 1000
     * @param reason told to all who hear of it
     * @returns how many were there to take back.
     */
    retract(ids: string[], reason?: string): Promise<number>;

    /**
     * Go on with a new token before the present one expires. Where it does not grant the widget,
     * the socket closes and comes back with the option `token`: make that a function.
     * @returns the user name from now on. A token that is refused changes nothing.
     */
    authenticate(token: string): Promise<string | null>;

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
