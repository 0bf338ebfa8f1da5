/** What a moderator does to messages and people. What cannot be undone asks first. */
import { element } from "../demo/dom.js";
import { attempt, field, input, open, select } from "./dialog.js";
import { APPROVE, BAN, REJECT, RETRACT } from "./documents.js";
import { count, nameOf } from "./format.js";

const SIGNED = "signed-";
const MOST_IDS = 1000;

export async function retract(session, channel, messages) {
  if (!messages.length) return;
  const reason = input("reason", { maxlength: "500" });
  const ids = messages.slice(0, MOST_IDS).map(({ id }) => id);
  const done = await open(
    `Retract ${count(ids.length, "message")}?`,
    [
      "They leave the screens of everybody, and no search shows them again. This cannot be undone.",
      field("Reason (optional)", reason, "Subscribers of the channel's events get it."),
    ],
    {
      confirm: "Retract",
      danger: true,
      act: async () => {
        const given = reason.value.trim() || null;
        const answer = await session.ask(RETRACT, { ...channel, ids, reason: given });
        return { retracted: answer.retract };
      },
    },
  );
  if (done) await attempt(async () => done, `${count(done.retracted, "message")} retracted.`);
}

export function approve(session, channel, messages) {
  return decide(session, channel, messages, APPROVE, "published");
}

export async function reject(session, channel, messages) {
  if (!messages.length) return false;
  const sure = await open(
    `Reject ${count(messages.length, "message")}?`,
    ["They are deleted without being published. This cannot be undone."],
    { confirm: "Reject", danger: true, act: () => true },
  );
  return sure ? decide(session, channel, messages, REJECT, "rejected") : false;
}

function decide(session, channel, messages, mutation, word) {
  if (!messages.length) return Promise.resolve(false);
  const ids = messages.slice(0, MOST_IDS).map(({ id }) => id);
  return attempt(
    async () => {
      const answer = await session.ask(mutation, { ...channel, ids });
      return answer.number;
    },
    (number) =>
      number === ids.length
        ? `${count(number, "message")} ${word}.`
        : `${count(number, "message")} ${word}; the others were not waiting any more.`,
  );
}

const KINDS = [
  ["username", "Username"],
  ["sub", "sub of the token"],
  ["clientId", "Signed client id"],
];
const UNTIL = [
  ["600", "10 minutes"],
  ["3600", "1 hour"],
  ["86400", "1 day"],
  ["", "For ever"],
  ["at", "Until…"],
];
const MODES = [
  ["MUTE", "Mute: can read, cannot publish"],
  ["SHADOW", "Shadow: only they see what they publish"],
  ["KICK", "Kick: cannot connect"],
];

/** Asks for a ban of somebody in the project; resolves with true once it is in force. */
export async function ban(session, projectId, { kind = "username", name = "" } = {}) {
  const kinds = select("kind", KINDS);
  kinds.value = kind;
  const who = input("name", { required: "", maxlength: "256", spellcheck: "false" });
  who.value = name;
  const mode = select("mode", MODES);
  const until = select("until", UNTIL);
  const at = input("at", { type: "datetime-local", step: "1" });
  const when = field("Until", at);
  when.hidden = true;
  until.addEventListener("change", () => {
    when.hidden = until.value !== "at";
    at.required = until.value === "at";
  });
  const reason = input("reason", { maxlength: "500" });
  const done = await open(
    "Ban a person",
    [
      `It holds in all channels of ${projectId}, within a second.`,
      field("Known by", kinds),
      field("Name", who),
      field("What they can no longer do", mode),
      field("How long", until),
      when,
      field("Reason (optional)", reason, "The person sees it."),
    ],
    {
      confirm: "Ban",
      danger: true,
      act: async () => {
        const seconds = Number(until.value);
        const ends =
          until.value === "at"
            ? new Date(at.value).getTime()
            : until.value && Date.now() + seconds * 1000;
        await session.ask(BAN, {
          projectId,
          input: {
            [kinds.value]: who.value.trim(),
            mode: mode.value,
            until: ends || null,
            reason: reason.value.trim() || null,
          },
        });
        return { name: who.value.trim() };
      },
    },
  );
  if (done) await attempt(async () => done, `${done.name} is banned.`);
  return Boolean(done);
}

/** Bans the publisher of a message, by what the server knows of them. */
export function banPublisher(session, projectId, message) {
  const { username, clientId } = message;
  if (username !== null) return ban(session, projectId, { kind: "username", name: username });
  if (clientId.startsWith(SIGNED))
    return ban(session, projectId, { kind: "clientId", name: clientId });
  return open("This person cannot be banned", [
    `${nameOf(message)} came without a token, with a client id that anybody can claim.`,
    element("p", "", "Let only verified people publish: Policy, Writers."),
  ]);
}
