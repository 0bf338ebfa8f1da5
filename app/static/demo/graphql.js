/**
 * GraphQL subscriptions in a page without a library: one WebSocket that speaks
 * graphql-transport-ws and comes back by itself.
 */
const FINAL = new Set([1002, 1009, 4400, 4401, 4406, 4409, 4429]);

export class GraphQLClient {
  #url;
  #token;
  #socket = null;
  #ready = false;
  #attempts = 0;
  #timer = 0;
  #ids = 0;
  #running = new Map();

  constructor(url, token = null) {
    this.#url = new URL(url, location.href);
    this.#url.protocol = this.#url.protocol === "https:" ? "wss:" : "ws:";
    this.#token = token;
    addEventListener("online", () => this.#running.size && this.#connect());
  }

  /**
   * Calls `next(data)` with each result until the function that it returns is called, and
   * `state(text)` with what keeps results from coming; "" when they come again.
   */
  subscribe(query, variables, next, state) {
    const id = String(++this.#ids);
    this.#running.set(id, { payload: { query, variables }, next, state });
    if (this.#ready) this.#send({ id, type: "subscribe", payload: { query, variables } });
    else this.#connect();
    return () => {
      if (this.#running.delete(id) && this.#ready) this.#send({ id, type: "complete" });
    };
  }

  #connect() {
    if (this.#socket) return;
    clearTimeout(this.#timer);
    const socket = (this.#socket = new WebSocket(this.#url, "graphql-transport-ws"));
    const payload = this.#token ? { authToken: this.#token } : {};
    socket.onopen = () => this.#send({ type: "connection_init", payload });
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
  }

  #receive({ type, id, payload }) {
    const operation = this.#running.get(id);
    if (type === "connection_ack") {
      this.#ready = true;
      this.#attempts = 0;
      for (const [each, { payload }] of this.#running)
        this.#send({ id: each, type: "subscribe", payload });
    } else if (type === "ping") this.#send({ type: "pong" });
    else if (type === "next" && operation) {
      operation.state(payload.errors ? payload.errors[0].message : "");
      if (payload.data) operation.next(payload.data);
    } else if (type === "error" || type === "complete") {
      this.#running.delete(id);
      if (type === "error") operation?.state(payload[0].message);
    }
  }

  #lost(code, reason) {
    this.#ready = false;
    this.#socket = null;
    const final = FINAL.has(code);
    const why = final ? reason || `closed with ${code}` : "Offline. Reconnecting …";
    for (const { state } of this.#running.values()) state(why);
    if (final) this.#running.clear();
    if (!this.#running.size) return;
    const most = Math.min(30_000, 500 * 2 ** this.#attempts++);
    this.#timer = setTimeout(() => this.#connect(), most * (0.5 + Math.random() / 2));
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }
}
