/** Never run: what a strict TypeScript project writes must compile, and what is wrong must not. */

import { type Client, createClient, type Message, WidgetwireError } from "widgetwire";
import { subscribe } from "widgetwire/graphql";
import { useChannel, useCount, useLive, useMessages, usePublish, WidgetwireProvider } from "widgetwire/react";

interface Said {
  readonly text: string;
}

export async function use(client: Client): Promise<void> {
  const chat = client.channel<Said>("chat");
  const said: Message<Said> = await chat.publish({ text: "Hello" }, { id: "key", persistent: true });
  // @ts-expect-error: the data is of another type
  await chat.publish({ text: 1 });
  // @ts-expect-error: an operator that there is not
  chat.messages({ filters: [{ field: "data.text", operator: "LIKE", value: "H" }] });
  // @ts-expect-error: a misspelt key
  await chat.search({ sortfield: "created" });
  const vote = await chat.vote("B");
  const choice: string = vote.data.choice;
  const stop = chat.events({ last: 50, after: said.id }).subscribe(
    (event) => {
      if (event.type === "message") console.log(event.message.data.text.length, choice);
      if (event.type === "retracted") console.log(event.ids.length, event.reason);
      if (event.type === "policy") console.log(event.policy.slowModeSeconds);
    },
    (error: WidgetwireError) => console.log(error.code, error.retryAfterMs),
  );
  stop();
  for await (const { groups, totalCount } of chat.live({ groupBy: "data.text", totalCount: true, aggregate: "data.n" })) {
    console.log(groups[0]?.aggregate?.sum, totalCount);
  }
  client.onStatus((status) => {
    if (status.state === "offline") console.log(status.retryInMs, status.reason);
    if (status.state === "refused") console.log(status.error.closeCode);
  });
  subscribe(client, { query: "{ viewer { sub } }" }, { next: () => {}, error: () => {}, complete: () => {} });
}

function Chat() {
  const { messages, loading } = useMessages<Said>("chat", { last: 50 });
  const { result } = useLive("chat", { groupBy: "data.text" });
  const publish = usePublish<Said>("chat");
  const channel = useChannel<Said>("chat");
  return (
    <button disabled={loading} onClick={() => publish({ text: channel.widgetId })}>
      {messages.map(({ data }) => data.text)} {result?.groups.length} {useCount("chat")}
    </button>
  );
}

export const page = (
  <WidgetwireProvider client={createClient({ url: "/graphql", projectId: "demo", token: async () => "jwt" })}>
    <Chat />
  </WidgetwireProvider>
);
