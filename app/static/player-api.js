// Widgetwire's c8PlayerApi. Guide: docs/MIGRATING.md; wire: docs/PROTOCOL.md.
(() => {
"use strict"; // the body of this function is not indented

const FINAL = new Set([1009, 4400, 4401, 4409, 4429]); // close codes: do not come back
const CALM = new Set([1000, 1001, 1005, 1012]); // ... that are no error
const OPEN_TIMEOUT_MS = 10_000;
const STABLE_MS = 5_000; // older connections start the backoff anew
const BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 30_000;
const MAX_CALLS = 1_000; // waiting for the connection or for their answer
const MAX_CALL_CHARS = 4 << 20;
const MAX_FRAME_BYTES = 1 << 20; // the server closes for good above
const MAX_SEEN = 500;

const SHARED = Symbol.for("widgetwire.c8PlayerApi");
const script =
  document.currentScript ?? document.querySelector('script[src*="/c8/player-api.js"]');
const api = (window.c8PlayerApi ??= {});
if (api[SHARED]) {
  // One more widget in this page: what comes next takes this script's attributes.
  api[SHARED].script = script;
  return;
}
const shared = { script };
Object.defineProperty(api, SHARED, { value: shared });

const report = window.reportError ?? console.error;

// A widget's mistake must not break the socket, nor go unseen.
const call = (handler, self, ...args) => {
  if (typeof handler !== "function") return;
  try {
    handler.apply(self, args);
  } catch (error) {
    report(error);
  }
};

const failure = (message, code, more) => Object.assign(new Error(message), { code, ...more });

// crypto.randomUUID exists in secure contexts only.
const randomId = () =>
  [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");

const json = (value) => {
  const text = JSON.stringify(value);
  if (text === undefined) throw new TypeError(`${typeof value} is not JSON`);
  return text;
};

// Client tokens by server and project: a visitor stays the same one, and may change a vote.
const tokens = new Map();
const recall = (place) => {
  try {
    return localStorage.getItem(place) || tokens.get(place);
  } catch {
    return tokens.get(place); // sandboxed frames store nothing
  }
};
const keep = (place, token) => {
  tokens.set(place, token);
  try {
    localStorage.setItem(place, token);
  } catch {}
};

// The legacy documentation knows no promises: a failure that nobody waits for is told.
class Answer extends Promise {
  static get [Symbol.species]() {
    return Promise;
  }
  #awaited = false;

  constructor(executor, tell) {
    super(executor);
    // A task later: `await` has asked by then.
    super.then(null, (error) => setTimeout(() => this.#awaited || tell(error)));
  }

  then(...handlers) {
    this.#awaited = true;
    return super.then(...handlers);
  }
}

const sockets = new Set(); // not closed by the page
let reopen, retry;

class webSocket {
  onOpen = null;
  onMessage = null;
  onActiveConnectionsChange = null;
  onRetract = null;
  onPolicyChange = null;
  onClose = null;
  onError = null;
  client_id;
  username = null;

  #script = shared.script;
  #options;
  #url;
  #place; // of the client token
  #clientToken = ""; // empty: the server makes and signs an id
  #socket = null;
  #ready = false; // the server has answered `open`
  #closed = false;
  #down = false; // onClose was told of this outage
  #since = 0;
  #attempts = 0;
  #timer = 0;
  #connecting = 0; // an outdated attempt gives up
  #failure = null; // what the server said before it closes
  #after; // cursor: where to go on; undefined: live only
  #seen = new Set();
  #calls = new Map();
  #chars = 0;
  #refs = 0;

  static {
    retry = (socket) => socket.#socket || socket.#connect();
    reopen = (socket) => {
      socket.#closed = false;
      sockets.add(socket);
      socket.#connect();
    };
  }

  constructor(options = {}) {
    const data = this.#script?.dataset ?? {};
    const path = [];
    for (const name of ["project", "widget"]) {
      const id = options[name] ?? data[name];
      if (!/^[\w.-]{1,64}$/.test(id ?? "")) {
        throw new TypeError(
          `${name} is ${JSON.stringify(id)}; set data-${name} on the script or pass ` +
            `{ ${name} }: 1 to 64 characters of A-Z a-z 0-9 _ . -`,
        );
      }
      path.push(id);
    }
    this.#url = new URL(path.join("/"), new URL("./", this.#script?.src || location.href));
    this.#url.protocol = this.#url.protocol === "https:" ? "wss:" : "ws:";
    this.#place = new URL(".", this.#url).href;
    this.#options = { ...options, persistent: Boolean(options.persistent) };
    this.client_id = options.client_id ?? "";
    sockets.add(this);
    this.#connect();
  }

  publish(data, { id = randomId(), onRepeat = "KEEP" } = {}) {
    // The id makes a second sending harmless; only what is stored can be recognised.
    return this.#call("publish", { id, on_repeat: onRepeat, data }, this.#options.persistent);
  }

  retract(ids, reason = null) {
    return this.#call("retract", { ids, reason }, true);
  }

  authenticate(token) {
    return this.#call("auth", { token });
  }

  search({ query, success, error, ...others } = {}) {
    const [other] = Object.keys(others);
    const misspelt = !query && other && `search has no ${json(other)}; it has query`;
    const result = this.#call("search", { query: query ?? {} }, true, misspelt);
    if (success || error) {
      result.then(
        (found) => call(success, this, found),
        (problem) => (error ? call(error, this, problem) : report(problem)),
      );
    }
    return result;
  }

  close() {
    if (this.#closed) return;
    this.#end(failure("the socket was closed", "CLOSED", { closeCode: 1000 }));
    this.#socket?.close(1000);
    this.#socket = null;
    if (!this.#down) queueMicrotask(() => this.#tellClosed(1000, "", true));
  }

  async #connect() {
    const turn = ++this.#connecting;
    clearTimeout(this.#timer);
    let token = this.#options.token ?? this.#script?.dataset.authToken;
    try {
      if (typeof token === "function") token = await token();
    } catch (error) {
      report(error);
      if (turn === this.#connecting) this.#lost(null, 4403, "no token to be had");
      return;
    }
    if (turn !== this.#connecting || this.#closed) return;
    const socket = (this.#socket = new WebSocket(this.#url));
    this.#timer = setTimeout(() => {
      this.#lost(socket, 1006, "no answer");
      socket.close();
    }, OPEN_TIMEOUT_MS);
    socket.onopen = () =>
      socket.send(
        JSON.stringify({
          type: "open",
          client_id: this.client_id || undefined,
          client_token: (this.#clientToken ||= recall(this.#place) ?? ""),
          persistent: this.#options.persistent,
          token: token || undefined,
          after: this.#after,
        }),
      );
    socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#lost(socket, code, reason);
  }

  #lost(socket, code, reason) {
    if (socket !== this.#socket || this.#closed) return;
    const wasReady = this.#ready;
    this.#socket = null;
    this.#ready = false;
    clearTimeout(this.#timer);
    const said = this.#failure;
    this.#failure = null;
    const what = `${wasReady ? "lost the" : "no"} connection to ${this.#url}: ${reason || code}`;
    const error = Object.assign(said ?? failure(what, "UNAVAILABLE"), { closeCode: code });
    let comesBack = !FINAL.has(code);
    if (error.code === "UNKNOWN_CURSOR") {
      // Not the store that we knew: go on live, and let the widget know.
      this.#after = undefined;
      comesBack = true;
    }
    const refused = said?.message.startsWith("the client token");
    if (refused) {
      // Too old, or of another secret: be somebody new, and say nothing.
      if (recall(this.#place) === this.#clientToken) keep(this.#place, "");
      this.#clientToken = "";
      this.client_id = this.#options.client_id ?? "";
      comesBack = true;
    }
    if (comesBack) {
      const unknown = failure("the connection was lost before the answer", "UNAVAILABLE");
      for (const [ref, { sent, again }] of this.#calls) {
        if (sent && (refused || !again)) this.#forget(ref).reject(unknown);
      }
      if (wasReady && Date.now() - this.#since > STABLE_MS) this.#attempts = 0;
      const most = Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** this.#attempts++);
      this.#timer = setTimeout(() => this.#connect(), most * (0.5 + Math.random() / 2));
    } else {
      this.#end(error);
    }
    // An outage is told once, however many attempts it takes.
    if (comesBack && (this.#down || refused)) return;
    if (said || !CALM.has(code)) call(this.onError, this, error);
    this.#tellClosed(code, reason, !comesBack);
  }

  #tellClosed(code, reason, final) {
    this.#down = true;
    call(this.onClose, this, { code, reason, willReconnect: !final });
  }

  #end(error) {
    this.#closed = true;
    this.#ready = false;
    this.#connecting++;
    clearTimeout(this.#timer);
    sockets.delete(this);
    for (const ref of this.#calls.keys()) this.#forget(ref).reject(error);
  }

  #receive(frame) {
    switch (frame.type) {
      case "open":
        if (frame.client_token && !this.#clientToken && recall(this.#place)) {
          // Another widget of the visitor's was first: come again as the same client.
          const stranger = this.#socket;
          this.#socket = null;
          this.#connect();
          return stranger.close();
        }
        if (frame.client_token) keep(this.#place, (this.#clientToken = frame.client_token));
        clearTimeout(this.#timer);
        this.#ready = true;
        this.#down = false;
        this.#since = Date.now();
        this.client_id = frame.client_id;
        this.username = frame.username;
        this.#after ??= frame.after;
        for (const waiting of this.#calls.values()) this.#send(waiting);
        call(this.onOpen, this);
        break;
      case "message": {
        const { message, persistent = true } = frame;
        if (this.#isNew(message.id, persistent)) call(this.onMessage, this, message);
        break;
      }
      case "retract": {
        const { id, ids, reason } = frame;
        if (this.#isNew(id)) call(this.onRetract, this, { data: ids, reason });
        break;
      }
      case "policy":
        call(this.onPolicyChange, this, { data: frame.policy });
        break;
      case "activeConnections":
        call(this.onActiveConnectionsChange, this, { data: frame.data });
        break;
      case "ack":
        if ("username" in frame) this.username = frame.username;
        this.#forget(frame.ref)?.resolve(frame.message ?? frame.count ?? frame.username);
        break;
      case "result": {
        const { totalRecords, resultSet } = frame;
        this.#forget(frame.ref)?.resolve({ totalRecords, resultSet });
        break;
      }
      case "error": {
        const { message, code, retryAfterMs } = frame;
        const error = failure(message, code, { retryAfterMs });
        if (frame.ref === undefined) this.#failure = error;
        else this.#forget(frame.ref)?.reject(error);
      }
    }
  }

  #isNew(id, stored = true) {
    if (this.#seen.has(id)) return false;
    this.#seen.add(id);
    if (this.#seen.size > MAX_SEEN) this.#seen.delete(this.#seen.values().next().value);
    if (stored) this.#after = id;
    return true;
  }

  #call(type, fields, again, problem) {
    const start = (resolve, reject) => {
      if (problem) throw new TypeError(problem);
      const ref = ++this.#refs;
      const parts = Object.entries({ type, ref, ...fields });
      const text = `{${parts.map(([name, value]) => `"${name}":${json(value)}`)}}`;
      if (this.#closed) throw failure("the socket is closed", "CLOSED");
      if (new Blob([text]).size > MAX_FRAME_BYTES) throw failure("too large", "PAYLOAD_TOO_LARGE");
      if (this.#calls.size >= MAX_CALLS || this.#chars + text.length > MAX_CALL_CHARS) {
        throw failure("too many calls are waiting", "RATE_LIMITED");
      }
      const waiting = { text, again, resolve, reject };
      this.#calls.set(ref, waiting);
      this.#chars += text.length;
      if (this.#ready) this.#send(waiting);
    };
    // What has a close code was told when the connection ended, or was the page's own wish.
    return new Answer(start, (error) => {
      if (error.closeCode) return;
      if (this.onError) call(this.onError, this, error);
      else report(error);
    });
  }

  #send(waiting) {
    waiting.sent = true;
    this.#socket.send(waiting.text);
  }

  #forget(ref) {
    const waiting = this.#calls.get(ref);
    if (waiting && this.#calls.delete(ref)) this.#chars -= waiting.text.length;
    return waiting;
  }
}

// Events of the page: ours, and those of the player that was here before.

const handlers = Object.create(null);
const destroyed = new Set(); // told once, even when the player and the page both end
const theirs = typeof api.on === "function" ? api.on.bind(api) : null;

const emit = (event, ...args) => {
  for (const handler of [...(handlers[event] ?? [])]) {
    if (event === "widgetDestroy") {
      if (destroyed.has(handler)) continue;
      destroyed.add(handler);
    }
    call(handler, api, ...args);
  }
  if (event === "widgetDestroy") for (const socket of [...sockets]) socket.close();
};

api.webSocket = webSocket;
api.emit ??= emit;
api.on = (event, handler) => {
  if (theirs && event !== "widgetDestroy") return theirs(event, handler);
  (handlers[event] ??= new Set()).add(handler);
};
theirs?.("widgetDestroy", (...args) => emit("widgetDestroy", ...args));

let hidden = [];
addEventListener("pagehide", () => {
  hidden = [...sockets];
  emit("widgetDestroy");
});
addEventListener("pageshow", ({ persisted }) => {
  // Back from the back/forward cache: the page goes on where it was left.
  if (persisted) {
    destroyed.clear();
    hidden.forEach(reopen);
  }
  hidden = [];
});
addEventListener("online", () => sockets.forEach(retry));
})();
