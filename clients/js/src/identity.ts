/** Who the client is: its token, and the client id that the server signs for a visitor without one. */

import { failureOf, type GraphQLFailure, WidgetwireError } from "./errors.ts";
import { Viewer } from "./generated.ts";

/** A JWT, or what fetches one; it is asked again at each connection and before a token expires. */
export type TokenSource = string | (() => string | null | undefined | Promise<string | null | undefined>);

/** What keeps the visitor's client token: `localStorage` is one. */
export interface ClientTokenStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

interface SignedClient {
  readonly clientToken: string;
  /** When the server gave it, in milliseconds since the epoch. */
  readonly at: number;
}

export interface Identity {
  /** Whether a new token can be had once this one has expired. */
  readonly renewable: boolean;
  /** When the newest token expires, in seconds since the epoch; undefined: not known. */
  expires(): number | undefined;
  /** Fetch the token. */
  token(): Promise<string | undefined>;
  /** The payload of `connection_init`; the first time, the server is asked to sign a client id. */
  parameters(): Promise<{ authToken: string | undefined; clientToken: string | undefined }>;
  /** Forget a client token that the server does not take. */
  dropClientToken(): void;
}

// A client token is good for 400 days, renewed each time the server is asked.
const RENEW_AFTER_MS = 30 * 24 * 3600_000;
const ANSWER_MS = 10_000;

/** What a JWT says, unverified: enough to know when to fetch the next one. */
export function claimsOf(token: string | undefined): { readonly sub?: string; readonly exp?: number } {
  try {
    return JSON.parse(atob(token!.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/"))) ?? {};
  } catch {
    return {};
  }
}

/**
 * @param url of the server's GraphQL over HTTP.
 * @param source of tokens; undefined: the client has none.
 * @param storage of the client token; false: none is asked for; undefined: the page's.
 */
export function identityOf(
  url: string,
  source: TokenSource | undefined,
  storage: ClientTokenStorage | false | undefined,
): Identity {
  const key = `widgetwire ${url}`;
  let newest: string | undefined;
  // Where nothing can be stored, the page at least stays one visitor.
  let signedHere: SignedClient | undefined;

  // Sandboxed frames throw, and Node has no storage of its own.
  const stored = <T>(use: (place: ClientTokenStorage) => T): T | undefined => {
    try {
      return use(storage || globalThis.localStorage);
    } catch {
      return undefined;
    }
  };
  const kept = (): SignedClient | undefined => stored((place) => JSON.parse(place.getItem(key)!)) ?? signedHere;

  const signed = async (): Promise<SignedClient | undefined> => {
    // A token with a `sub` names the publisher already.
    if (storage === false || claimsOf(newest).sub) return undefined;
    const before = kept();
    if (before && Date.now() - before.at < RENEW_AFTER_MS) return before;
    const response = await fetch(url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(newest && { authorization: `Bearer ${newest}` }),
        ...(before && { "widgetwire-client": before.clientToken }),
      },
      body: JSON.stringify({ query: Viewer }),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const { data, errors } = (await response.json()) as { data?: { viewer: Viewer }; errors?: GraphQLFailure[] };
    if (!data) throw errors ? failureOf(errors) : new WidgetwireError("UNAVAILABLE", `status ${response.status}`);
    const { clientToken } = data.viewer;
    if (!clientToken) return undefined;
    // Another window may have been first: be the same visitor.
    const theirs = kept();
    if (theirs && theirs.clientToken !== before?.clientToken) return theirs;
    signedHere = { clientToken, at: Date.now() };
    stored((place) => place.setItem(key, JSON.stringify(signedHere)));
    return signedHere;
  };

  const token = async () => (newest = (await (typeof source === "function" ? source() : source)) || undefined);

  return {
    renewable: typeof source === "function",
    expires: () => claimsOf(newest).exp,
    token,
    async parameters() {
      return { authToken: await token(), clientToken: (await signed())?.clientToken };
    },
    dropClientToken() {
      signedHere = undefined;
      stored((place) => place.removeItem(key));
    },
  };
}
