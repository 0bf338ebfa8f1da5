/**
 * GraphiQL on this service: operations by POST, subscriptions by graphql-transport-ws, both at
 * the address that the page itself came from.
 *
 * Each running subscription has a socket of its own, so each tab is counted as a connection and
 * speaks with its own headers: they travel in `connection_init`, where the service reads
 * `Authorization`.
 */
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { Kind, parse } from "graphql";
import { useMemo, useState } from "react";
import { createRoot } from "react-dom/client";

import "graphiql/style.css";
import "./page.css";

import { AsUser } from "./as-user.jsx";
import { examples } from "./examples.js";

globalThis.MonacoEnvironment = {
  getWorker(_workerId, label) {
    const file = WORKERS[label] ?? WORKERS.editor;
    return new Worker(new URL(file, import.meta.url), { type: "module", name: label });
  },
};

const endpoint = new URL(location.pathname, location.href);
const socket = new URL(endpoint);
socket.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";

const fetchCurrent = createGraphiQLFetcher({
  url: endpoint.href,
  subscriptionUrl: socket.href,
  // The service answers in one piece; asking for parts would only widen Accept.
  enableIncrementalDelivery: false,
});

/**
 * GraphiQL looks at what is in the editor a moment after it has changed. Whoever switches to
 * another tab and runs it at once would run it under the name of the operation before.
 */
function fetcher(params, options) {
  let document;
  try {
    document = parse(params.query);
  } catch {
    return fetchCurrent(params, options); // The service says what is wrong with it.
  }
  const operations = document.definitions.filter(
    (definition) => definition.kind === Kind.OPERATION_DEFINITION,
  );
  const named = operations.some(({ name }) => name?.value === params.operationName);
  const operationName = named ? params.operationName : operations[0]?.name?.value;
  return fetchCurrent({ ...params, operationName }, { ...options, documentAST: document });
}

/** As the user of the token above, unless a tab has an Authorization header of its own. */
function asUser(token) {
  return (params, options = {}) => {
    const own = Object.keys(options.headers ?? {}).some((name) => /^authorization$/i.test(name));
    const headers = token && !own ? { Authorization: `Bearer ${token}`, ...options.headers } : options.headers;
    return fetcher(params, { ...options, headers });
  };
}

function Page() {
  const [token, setToken] = useState("");
  const send = useMemo(() => asUser(token), [token]);
  return (
    <>
      <header className="top">
        <a className="brand" href="./">
          <img src="demo/icon.svg" alt="" width="24" height="24" /> Widgetwire
        </a>
        <AsUser endpoint={endpoint.href} onToken={setToken} />
        <nav aria-label="Elsewhere">
          <a href="./">Demo</a>
          <a href="docs/">Docs</a>
        </nav>
      </header>
      <GraphiQL
        fetcher={send}
        defaultTabs={examples}
        defaultQuery={examples[0].query}
        defaultEditorToolsVisibility="headers"
      >
        <GraphiQL.Logo>
          <></>
        </GraphiQL.Logo>
      </GraphiQL>
    </>
  );
}

createRoot(document.getElementById("graphiql")).render(<Page />);
