/** The messages that wait for a moderator, oldest first. */
import { $, button, element } from "../demo/dom.js";
import { approve, banPublisher, reject } from "./act.js";
import { HELD, HELD_ARRIVING } from "./documents.js";
import { MOST_ROWS, Rows } from "./rows.js";

const LOOK_MS = 10_000; 
export function showReview(place, session, channel) {
  const decided = new Set(); // by us; the list may still bring them
  let ended = false;
  const status = element("p", "state");
  status.setAttribute("role", "status");
  const say = (text, code) => (status.textContent = text && code ? `${text} (${code})` : text);
  const full = element(
    "p",
    "hint",
    `The oldest ${MOST_ROWS} are shown; others follow as these are decided.`,
  );
  full.hidden = true;

  const decide = (doing) => async (messages) => {
    if (!(await doing(session, channel, messages))) return;
    for (const { id } of messages) {
      decided.add(id);
      rows.remove(id);
    }
    for (const id of decided) if (decided.size > 10 * MOST_ROWS) decided.delete(id);
    await look();
  };
  const publish = decide(approve);
  const drop = decide(reject);
  const rows = new Rows({
    label: "Messages that wait, oldest first",
    empty: "Loading …",
    actions: [
      { text: "Approve", act: publish },
      { text: "Reject…", danger: true, act: drop },
      {
        text: "Ban…",
        single: true,
      label: "",
        act: ([message]) => banPublisher(session, channel.projectId, message),
      },
    ],
  });
  const empty = $(".empty-note", rows.element);
  const again = button("small", "Look again", () => look());
  place.append(status, rows.element, full, again);

  async function look() {
    try {
      const { heldMessages } = await session.ask(HELD, { ...channel, limit: MOST_ROWS });
      if (ended) return;
      const there = new Set(heldMessages.map(({ id }) => id));
      for (const id of rows.ids()) if (!there.has(id)) rows.remove(id);
      for (const message of heldMessages) if (!decided.has(message.id)) rows.add(message, false);
      full.hidden = rows.size < MOST_ROWS;
      empty.textContent = "Nothing waits for review.";
      say("");
    } catch (error) {
      if (ended) return;
      empty.textContent = "Not loaded.";
      say(error.message, error.code);
    }
  }

  look();
  const timer = setInterval(() => document.hidden || look(), LOOK_MS);
  const stop = session.subscribe(
    HELD_ARRIVING,
    channel,
    ({ heldMessages: message }) => {
      if (decided.has(message.id)) return;
      if (rows.size < MOST_ROWS) rows.add(message, false);
      else full.hidden = false;
    },
    say,
  );

  return {
    stop: () => {
      ended = true;
      clearInterval(timer);
      stop();
    },
    keys: {
      ...rows.keys(),
      a: ["approve the selected messages", () => publish(rows.targets())],
      r: ["reject the selected messages", () => drop(rows.targets())],
      b: [
        "ban the publisher of the message",
        () => {
          const [message] = rows.targets();
          if (message) banPublisher(session, channel.projectId, message);
        },
      ],
    },
  };
}
