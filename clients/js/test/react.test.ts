import assert from "node:assert/strict";
import { test } from "node:test";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { createClient } from "../src/client.ts";
import { useChannel, useCount, useLive, useMessages, usePublish, useStatus, WidgetwireProvider } from "../src/react.ts";

function Everything() {
  const { messages, loading } = useMessages("chat");
  const { result } = useLive("chat", { groupBy: "data.choice" });
  const seen = [messages.length, loading, result, useCount("chat"), useStatus().state, typeof usePublish("chat")];
  return createElement("p", null, JSON.stringify([...seen, useChannel("chat").widgetId]));
}

test("on a server the hooks render as if nothing had come, and nothing is opened", () => {
  const client = createClient({ url: "/graphql", projectId: "demo" });
  const page = renderToString(createElement(WidgetwireProvider, { client }, createElement(Everything)));
  assert.equal(page.replaceAll("&quot;", '"'), '<p>[0,true,null,null,"idle","function","chat"]</p>');
  assert.equal(client.status.state, "idle");
});

test("without a provider it says what is missing", () => {
  assert.throws(() => renderToString(createElement(Everything)), /<WidgetwireProvider client=/);
});
