/** What goes wrong, with a code that a program can look at. */

/** The server's codes (docs/GRAPHQL.md), and three of this package. */
export type ErrorCode =
  | "BAD_USER_INPUT"
  | "UNAUTHENTICATED"
  | "FORBIDDEN"
  | "PAYLOAD_TOO_LARGE"
  | "RATE_LIMITED"
  | "REJECTED"
  | "UNKNOWN_CURSOR"
  | "UNAVAILABLE"
  | "INTERNAL_SERVER_ERROR"
  | "GRAPHQL_PARSE_FAILED"
  | "GRAPHQL_VALIDATION_FAILED"
  /** The server closed the connection for good; `closeCode` says why. */
  | "REFUSED"
  /** As much as may wait already waits for the connection; nothing was sent. */
  | "QUEUE_FULL"
  /** The client was closed. */
  | "CLOSED";

export class WidgetwireError extends Error {
  override readonly name = "WidgetwireError";
  readonly code: ErrorCode;
  /** Try again after so many milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** Of the WebSocket, where it was closed. */
  readonly closeCode: number | undefined;

  constructor(code: ErrorCode, message: string, retryAfterMs?: number, closeCode?: number) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
    this.closeCode = closeCode;
  }
}

/** An error as GraphQL sends it. */
export interface GraphQLFailure {
  readonly message: string;
  readonly extensions?: { readonly [name: string]: unknown };
}

/** The first of a response's errors. */
export function failureOf(errors: readonly GraphQLFailure[]): WidgetwireError {
  const { message, extensions = {} } = errors[0] ?? { message: "an error without a text" };
  const code = (extensions.code as ErrorCode | undefined) ?? "INTERNAL_SERVER_ERROR";
  return new WidgetwireError(code, message, extensions.retryAfterMs as number | undefined);
}
