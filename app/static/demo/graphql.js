/**
 * GraphQL subscriptions in a page without a library: one WebSocket that speaks
 * graphql-transport-ws and comes back by itself.
 */
const FINAL = new Set([1002, 1009, 4400, 4401, 4406, 4409, 4429]);
const TOKEN_REFUSED = new Set([4401, 4403]);

export const AUTHENTICATE = `mutation ($token: String!) {
  authenticate(token: $token) { permissions }
}`;

export class GraphQLClient {
  #url;
  #token;
  #link;
  #refused;
  #socket = null;
  #ready = false;
  #attempts = 0;
  #timer = 0;
  #ids = 0;
  #running = new Map();

  /**
   * @param {URL | string} url of the GraphQL endpoint
   * @param {string | null} token sent in connection_init
   * @param {(up: boolean) => void} [link] told when the socket is up, and when it is down
   * @param {(reason: string) => void} [refused] told that the server refuses the token, or that it
   *   has expired; the client then waits for `renew` instead of giving up
   */
  constructor(url, token = null, { link = () => {}, refused = null } = {}) {
    this.#url = new URL(url, location.href);
    this.#url.protocol = this.#url.protocol === "https:" ? "wss:" : "ws:";
    this.#token = token;
    this.#link = link;
    this.#refused = refused;
    addEventListener("online", () => this.#running.size && this.#connect());
  }

  /**
   * Calls `next(data)` with each result until the function that it returns is called, and
   * `state(text, code)` with what keeps results from coming; "" when they come again.
   *
   * `variables` may be a function: it is called at each connection, to resume after what came.
   */
  subscribe(query, variables, next, state) {
    const id = String(++this.#ids);
    this.#running.set(id, { query, variables, next, state });
    if (this.#ready) this.#start(id);
    else this.#connect();
    return () => {
      if (this.#running.delete(id) && this.#ready) this.#send({ id, type: "complete" });
    };
  }

  /** Goes on with another token: on the open socket if there is one, without a break. */
  renew(token) {
    if (!this.#ready) {
      this.#token = token;
      if (this.#running.size) this.#connect();
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const stop = this.subscribe(
        AUTHENTICATE,
        { token },
        () => {
          stop();
          this.#token = token;
          resolve();
        },
        (text) => text && reject(new Error(text)),
      );
    });
  }

  /** Ends all subscriptions and the socket. */
  close() {
    this.#running.clear();
    this.#link = () => {};
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
  }

  #connect() {
    if (this.#socket) return;
    clearTimeout(this.#timer);
    const socket = (this.#socket = new WebSocket(this.#url, "graphql-transport-ws"));
    socket.onopen = () => {
      const payload = this.#token ? { authToken: this.#token } : {};
      this.#send({ type: "connection_init", payload });
    };
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
  }

  #start(id) {
    const { query, variables } = this.#running.get(id);
    const given = typeof variables === "function" ? variables() : variables;
    this.#send({ id, type: "subscribe", payload: { query, variables: given } });
  }

  #receive({ type, id, payload }) {
    const operation = this.#running.get(id);
    if (type === "connection_ack") {
      this.#ready = true;
      this.#attempts = 0;
      this.#link(true);
      for (const each of this.#running.keys()) this.#start(each);
    } else if (type === "ping") this.#send({ type: "pong" });
    else if (type === "next" && operation) {
      const [error] = payload.errors ?? [];
      operation.state(error?.message ?? "", error?.extensions?.code);
      if (payload.data) operation.next(payload.data);
    } else if (type === "error" || type === "complete") {
      this.#running.delete(id);
      if (type === "error") operation?.state(payload[0].message, payload[0].extensions?.code);
    }
  }

  #lost(code, reason) {
    this.#ready = false;
    this.#socket = null;
    this.#link(false);
    const waits = this.#refused !== null && TOKEN_REFUSED.has(code);
    const final = FINAL.has(code) && !waits;
    const why = final || waits ? reason || `closed with ${code}` : "Offline. Reconnecting …";
    for (const { state } of this.#running.values()) state(why);
    if (final) this.#running.clear();
    if (!this.#running.size) return;
    if (waits) {
      this.#refused(why);
      return;
    }
    const most = Math.min(30_000, 500 * 2 ** this.#attempts++);
    this.#timer = setTimeout(() => this.#connect(), most * (0.5 + Math.random() / 2));
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }
}
