import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createClient } from "widgetwire";
import { WidgetwireProvider } from "widgetwire/react";
import { Chat } from "./chat.jsx";

const client = createClient({ url: `${SERVER}/graphql`, projectId: "demo" });

createRoot(document.querySelector("#root")).render(
  <StrictMode>
    <WidgetwireProvider client={client}>
      <Chat />
    </WidgetwireProvider>
  </StrictMode>,
);
