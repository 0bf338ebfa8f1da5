// Counts what the hooks of clients/js do: subscriptions on the wire, renders, what is shown.
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { createClient } from "widgetwire";
import { useCount, useLive, useMessages, usePublish, useStatus, WidgetwireProvider } from "widgetwire/react";

const wire = { opened: 0, sockets: 0, open: new Set() };
class CountedSocket extends WebSocket {
  constructor(...place) {
    super(...place);
    wire.sockets += 1;
    wire.open.clear();
  }
  send(text) {
    const { type, id, payload } = JSON.parse(text);
    if (type === "subscribe" && payload.query.startsWith("subscription")) {
      wire.opened += 1;
      wire.open.add(id);
    }
    if (type === "complete") wire.open.delete(id);
    super.send(text);
  }
}
const client = createClient({ url: `${SERVER}/graphql`, projectId: "hooks", webSocketImpl: CountedSocket });
Object.assign(window, { client, wire });

const QUERY = { groupBy: "data.kind" };

function List({ name }) {
  const { messages, loading } = useMessages("room", { last: 10, limit: 5 });
  return <p id={name}>{loading ? "loading" : messages.map(({ data }) => data.n).join(" ")}</p>;
}

function Facts() {
  const { result } = useLive("room", QUERY);
  const count = useCount("room");
  const publish = usePublish("room");
  window.publish = publish;
  return (
    <>
      <p id="live">{result?.groups.map(({ key, count: many }) => `${key} ${many}`).join(", ") ?? "none"}</p>
      <p id="count">{count ?? "unknown"}</p>
      <p id="status">{useStatus().state}</p>
    </>
  );
}

function Page() {
  const [shown, setShown] = useState(["first", "second"]);
  window.setShown = setShown;
  return (
    <>
      {shown.map((name) => <List key={name} name={name} />)}
      {shown.length > 0 && <Facts />}
    </>
  );
}

const page = (
  <StrictMode>
    <WidgetwireProvider client={client}>
      <Page />
    </WidgetwireProvider>
  </StrictMode>
);
window.onServer = renderToString(page);
window.socketsOnServer = wire.sockets;
createRoot(document.querySelector("#root")).render(page);
