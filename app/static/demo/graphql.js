/**
 * GraphQL in a page without a library: `request` over fetch, `subscribe` over one WebSocket
 * that speaks graphql-transport-ws and comes back by itself.
 */
const FINAL = new Set([1002, 1009, 4400, 4401, 4406, 4409, 4429]);

export class GraphQLClient {
  #url;
  #token;
  #socket = null;
  #ready = false;
  #attempts = 0;
  #ids = 0;
  #running = new Map();

  constructor(url, token = null) {
    this.#url = new URL(url, location.href);
    this.#token = token;
  }

  /** Runs a query or a mutation; resolves to its data, rejects with the first error. */
  async request(query, variables = {}) {
    const headers = { "Content-Type": "application/json", Accept: "application/json" };
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    const body = JSON.stringify({ query, variables });
    const response = await fetch(this.#url, { method: "POST", headers, body });
    const { data, errors } = await response.json();
    if (errors) throw new Error(errors[0].message);
    return data;
  }

  /** Calls `next(data)` with each result until the function that it returns is called. */
  subscribe(query, variables, next, failed = (error) => console.error(error)) {
    const id = String(++this.#ids);
    this.#running.set(id, { payload: { query, variables }, next, failed });
    if (this.#ready) this.#send({ id, type: "subscribe", payload: { query, variables } });
    else if (!this.#socket) this.#connect();
    return () => {
      if (this.#running.delete(id) && this.#ready) this.#send({ id, type: "complete" });
    };
  }

  #connect() {
    const url = new URL(this.#url);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = (this.#socket = new WebSocket(url, "graphql-transport-ws"));
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
    else if (type === "next") {
      if (payload.errors) operation?.failed(new Error(payload.errors[0].message));
      if (payload.data) operation?.next(payload.data);
    } else if (type === "error" || type === "complete") {
      this.#running.delete(id);
      if (type === "error") operation?.failed(new Error(payload[0].message));
    }
  }

  #lost(code, reason) {
    this.#ready = false;
    this.#socket = null;
    const final = FINAL.has(code);
    const error = new Error(final ? reason || `closed with ${code}` : "Reconnecting …");
    for (const { failed } of this.#running.values()) failed(error);
    if (final) this.#running.clear();
    if (!this.#running.size) return;
    const most = Math.min(30_000, 500 * 2 ** this.#attempts++);
    setTimeout(() => this.#socket ?? this.#connect(), most * (0.5 + Math.random() / 2));
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }
}
