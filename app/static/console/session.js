/**
 * Who is signed in, and the way to the server: questions over POST, subscriptions over one socket.
 * A token that is refused or has expired is asked for anew, and what waited for it goes on.
 */
import { GraphQLClient } from "../demo/graphql.js";
import { VIEWER } from "./documents.js";

const ENDPOINT = new URL("../graphql", import.meta.url);
const KEPT = "widgetwire.console.token";
const WARN_MS = 60_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** What the server refused, or why it could not be asked. */
export class Problem extends Error {
  constructor(message, code, retryAfterMs = null) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The kept token, if the user ticked that it may be kept; the storage ends with the tab. */
export const kept = () => {
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null; // storage is off
  }
};

function keep(token) {
  try {
    if (token) sessionStorage.setItem(KEPT, token);
    else sessionStorage.removeItem(KEPT);
  } catch {
    // Storage is off: the token lasts as long as the page.
  }
}

/** Milliseconds since 1970 at which the token says that it expires; the server decides. */
function expiry(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const { exp } = JSON.parse(atob(part));
    return typeof exp === "number" ? exp * 1000 : null;
  } catch {
    return null;
  }
}

async function post(token, query, variables, signal) {
  let response, body;
  try {
    response = await fetch(ENDPOINT, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
      body: JSON.stringify({ query, variables }),
      credentials: "omit",
      signal,
    });
    body = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server could not be reached.", "OFFLINE");
  }
  let answer;
  try {
    answer = JSON.parse(body);
  } catch {
    throw new Problem(`The server answered ${response.status}.`, `HTTP_${response.status}`);
  }
  if (answer.errors) {
    const [{ message, extensions = {} }] = answer.errors;
    throw new Problem(message, extensions.code ?? "ERROR", extensions.retryAfterMs);
  }
  return { data: answer.data, body };
}

/** Returns the viewer of a token. Raises a Problem unless it may use the console. */
async function checked(token) {
  const { viewer } = (await post(token, VIEWER, {})).data;
  const { permissions } = viewer;
  if (!permissions.includes("moderate") && !permissions.includes("admin"))
    throw new Problem(
      `This token grants ${permissions.join(", ") || "nothing"}. ` +
        "The console needs the permission moderate or admin.",
      "FORBIDDEN",
    );
  return viewer;
}

export class Session {
  #token;
  #client;
  #keeps;
  #asking = null;
  #timer = 0;
  #told;
  #closed = false;

  /**
   * @param {string} token
   * @param {boolean} keeps whether the token outlives a reload of this tab
   * @param told what the page shows: `link(up)`, `expiring(token is about to expire)`, `viewer()`,
   *   and `newToken(reason)`, which calls `renew` until that succeeds
   */
  static async open(token, keeps, told) {
    const viewer = await checked(token);
    return new Session(token, viewer, keeps, told);
  }

  constructor(token, viewer, keeps, told) {
    this.#token = token;
    this.#keeps = keeps;
    this.#told = told;
    this.viewer = viewer;
    this.#client = new GraphQLClient(ENDPOINT, token, {
      link: told.link,
      refused: (reason) => this.#newToken(reason),
    });
    this.#accepted();
  }

  get admin() {
    return this.viewer.permissions.includes("admin");
  }

  /** Sends a query or mutation; resolves with its data. Raises a Problem. */
  async ask(query, variables, signal) {
    return (await this.#answer(query, variables, signal)).data;
  }

  /** As `ask`; resolves with the answer's own text, its numbers as the server wrote them. */
  async text(query, variables, signal) {
    return (await this.#answer(query, variables, signal)).body;
  }

  /** See `GraphQLClient.subscribe`. */
  subscribe(query, variables, next, state) {
    return this.#client.subscribe(query, variables, next, state);
  }

  /** Goes on with another token, in place. Raises a Problem if it is refused. */
  async renew(token) {
    const viewer = await checked(token);
    await this.#client.renew(token);
    this.#token = token;
    this.viewer = viewer;
    this.#accepted();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    keep(null);
    this.#client.close();
  }

  async #answer(query, variables, signal) {
    for (;;) {
      const token = this.#token;
      try {
        return await post(token, query, variables, signal);
      } catch (error) {
        if (error.code !== "UNAUTHENTICATED" || this.#closed) throw error;
        // Another question may have got a new one meanwhile.
        if (token === this.#token) await this.#newToken(error.message);
      }
    }
  }

  #newToken(reason) {
    this.#asking ??= this.#told.newToken(reason).finally(() => (this.#asking = null));
    return this.#asking;
  }

  #accepted() {
    keep(this.#keeps ? this.#token : null);
    clearTimeout(this.#timer);
    this.#told.expiring(false);
    this.#told.viewer(this.viewer);
    const expires = expiry(this.#token);
    if (expires === null) return;
    const wait = Math.max(0, expires - WARN_MS - Date.now());
    if (wait < LONGEST_TIMER_MS)
      this.#timer = setTimeout(() => this.#told.expiring(true), wait);
  }
}
