/**
 * Whose token the operations carry: a field for it, and who the service says that is.
 *
 * The token stays in this page: it is in no storage, and gone when the page is.
 */
import { useState } from "react";

const WHO = "{ viewer { sub username permissions projects } }";

/** What the service says of a token; null for none. */
async function viewerOf(endpoint, token) {
  const answer = await fetch(endpoint, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify({ query: WHO }),
  });
  const { data, errors } = await answer.json();
  if (!data) throw new Error(errors?.[0]?.message ?? `the service answered ${answer.status}`);
  return data.viewer;
}

export function AsUser({ endpoint, onToken }) {
  const [said, setSaid] = useState({ text: "anonymous" });

  async function apply(event) {
    event.preventDefault();
    const token = new FormData(event.currentTarget).get("token").trim();
    if (!token) {
      onToken("");
      setSaid({ text: "anonymous" });
      return;
    }
    try {
      const { username, sub, permissions, projects } = await viewerOf(endpoint, token);
      onToken(token);
      const where = projects ? ` in ${projects.join(", ") || "no project"}` : "";
      setSaid({ text: `${username ?? sub ?? "somebody"}: ${permissions.join(", ")}${where}` });
    } catch (error) {
      onToken("");
      setSaid({ text: error.message, wrong: true });
    }
  }

  return (
    <form className="as-user" onSubmit={apply}>
      <label>
        As user
        <input name="token" type="password" autoComplete="off" spellCheck="false" placeholder="paste a token" />
      </label>
      <button type="submit">Use</button>
      <output className={said.wrong ? "wrong" : ""}>{said.text}</output>
    </form>
  );
}
