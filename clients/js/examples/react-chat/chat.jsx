import { useState } from "react";
import { useChannel, useCount, useMessages, usePublish, useStatus } from "widgetwire/react";

export function Chat() {
  const { messages, loading, error } = useMessages("chat", { last: 50 });
  const count = useCount("chat");
  const publish = usePublish("chat");
  const channel = useChannel("chat");
  const { state } = useStatus();
  const [text, setText] = useState("");
  const [sending, setSending] = useState(0);
  const [problem, setProblem] = useState("");

  async function send(event) {
    event.preventDefault();
    setText("");
    setProblem("");
    setSending((waiting) => waiting + 1);
    try {
      await publish({ text });
    } catch (refusal) {
      setProblem(refusal.message);
    }
    setSending((waiting) => waiting - 1);
  }

  return (
    <>
      <h1>Chat</h1>
      <p role="status">
        {state === "online" ? `${count ?? 1} here` : state}
        {sending > 0 && `, ${sending} waiting to be sent`}
      </p>
      <ol aria-busy={loading}>
        {messages.map(({ id, data }) => (
          <li key={id}>
            <span>{String(data.text)}</span>
            <button onClick={() => channel.retract([id]).catch((refusal) => setProblem(refusal.message))}>Delete</button>
          </li>
        ))}
      </ol>
      <form onSubmit={send}>
        <input aria-label="Message" value={text} onChange={(event) => setText(event.target.value)} required />
        <button>Send</button>
      </form>
      <p role="alert">{error?.message ?? problem}</p>
    </>
  );
}
