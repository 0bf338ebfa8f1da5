/** The messages of a channel as they come, with search, older pages, retracting and banning. */
import { $, button, element } from "../demo/dom.js";
import { banPublisher, retract } from "./act.js";
import { described, toast } from "./dialog.js";
import { EVENTS, PAGE } from "./documents.js";
import { Filters, pathsOf } from "./filters.js";
import { count } from "./format.js";
import { MOST_ROWS, Rows } from "./rows.js";

const PAGE_MESSAGES = 50;
const DRAW_MS = 200; // a busy channel is drawn a few times a second
const MOST_GONE = 1000;

/** Draws into `place`; returns what ends it and its shortcuts. */
export function showMessages(place, session, channel) {
  let filters = [];
  let stop = () => {};
  let cursor = null;
  let begun = false; // the newest page is in
  let following = true; // the list ends with the newest message
  let waiting = []; // came while somebody is at work on the rows, newest last
  let missed = 0; // of those, dropped
  let drawing = 0;
  let older = null; // the request for the next page
  let hasOlder = false;
  let round = 0;
  const gone = new Set(); // retracted; a page may still bring them
  const fields = new Set();

  const status = element("p", "state");
  status.setAttribute("role", "status");
  const fresh = button("fresh", "", () => (following ? flush(true) : restart()));
  fresh.hidden = true;
  const more = button("more", "Older messages", () => loadOlder());
  more.hidden = true;
  const actions = [
    { text: "Retract…", danger: true, act: (messages) => retract(session, channel, messages) },
    {
      text: "Ban…",
      single: true,
      label: "",
      act: ([message]) => banPublisher(session, channel.projectId, message),
    },
  ];
  let rows = null;
  rows = new Rows({
    label: "Messages, newest first",
    empty: "Loading …",
    actions,
    changed: () => rows && !rows.busy && waiting.length && following && later(),
  });
  const empty = $(".empty-note", rows.element);
  const form = new Filters((given) => {
    filters = given;
    restart();
  });
  place.append(form.element, status, fresh, rows.element, more);

  const learn = ({ data }) => {
    if (fields.size > 200) return;
    const before = fields.size;
    for (const path of pathsOf(data)) fields.add(path);
    if (fields.size > before)
      form.suggest(["username", "client_id", "created", "id", ...[...fields].sort()]);
  };

  const say = (text, code) => {
    status.textContent = text && code ? `${text} (${code})` : text;
  };

  const later = () => {
    drawing ||= setTimeout(() => {
      drawing = 0;
      flush(false);
    }, DRAW_MS);
  };

  /** Draws what came, unless somebody is at work on the rows: then it says how many wait. */
  function flush(asked) {
    if (following && (asked || !rows.busy)) {
      // More came than the list holds: those that are left are its newest, without a gap.
      if (missed) rows.clear();
      hasOlder ||= missed > 0;
      missed = 0;
      for (const message of waiting) if (!gone.has(message.id)) rows.add(message, true);
      waiting = [];
      if (rows.trim(false)) hasOlder = true;
      more.hidden = !hasOlder;
    }
    const number = waiting.length + missed;
    fresh.hidden = !number && following;
    fresh.textContent = following
      ? `Show ${count(number, "new message")}`
      : `Back to the newest${number ? `, ${number.toLocaleString()} new` : ""}`;
  }

  function arrived(message) {
    if (rows.has(message.id) || gone.has(message.id)) return;
    learn(message);
    waiting.push(message);
    if (waiting.length > MOST_ROWS) {
      waiting.shift();
      missed++;
    }
    later();
  }

  function retracted(ids, reason) {
    let shown = 0;
    for (const id of ids) {
      gone.add(id);
      shown += rows.remove(id);
    }
    waiting = waiting.filter(({ id }) => !gone.has(id));
    for (const id of gone) if (gone.size > MOST_GONE) gone.delete(id);
    if (shown && reason) toast(`${count(shown, "message")} retracted: ${reason}`);
    flush(false);
  }

  const page = async (query) => {
    const { messages } = await session.ask(PAGE, {
      ...channel,
      query: { filters, sortOrder: "DESC", limit: PAGE_MESSAGES, ...query },
    });
    return messages;
  };

  async function begin(mine) {
    try {
      const found = await page({});
      if (mine !== round) return;
      begun = true;
      rows.clear();
      for (const message of found.messages) {
        learn(message);
        if (!gone.has(message.id)) rows.add(message, false);
      }
      hasOlder = found.pageInfo.hasNextPage;
      more.hidden = !hasOlder;
      empty.textContent = filters.length ? "No message matches." : "No message yet.";
      waiting = waiting.filter(({ id }) => !rows.has(id));
      flush(false);
    } catch (error) {
      if (mine !== round) return;
      empty.textContent = "Not loaded.";
      if (filters.length) form.refuse(described(error));
      else say(error.message, error.code);
    }
  }

  async function loadOlder() {
    const last = rows.list.lastElementChild?.dataset.id;
    if (older || !last) return;
    const mine = round;
    more.disabled = true;
    try {
      older = page({ before: last });
      const found = await older;
      if (mine !== round) return;
      for (const message of found.messages) if (!gone.has(message.id)) rows.add(message, false);
      hasOlder = found.pageInfo.hasNextPage;
      more.hidden = !hasOlder;
      // The list is full: the newest go, and come back at the press of a button.
      if (rows.trim(true)) following = false;
      flush(false);
    } catch (error) {
      toast(described(error), true);
    } finally {
      older = null;
      more.disabled = false;
    }
  }

  function restart() {
    stop();
    const mine = ++round;
    cursor = null;
    begun = false;
    following = true;
    waiting = [];
    missed = 0;
    hasOlder = false;
    rows.clear();
    more.hidden = fresh.hidden = true;
    empty.textContent = "Loading …";
    form.refuse("");
    say("");
    stop = session.subscribe(
      EVENTS,
      () => {
        // Back without a place to resume from: the channel was empty. Read it anew.
        if (cursor === null) begun = false;
        return { ...channel, filters, after: cursor };
      },
      ({ channelEvents: event }) => {
        if (event.__typename === "CaughtUp") {
          cursor ??= event.upTo;
          // Only now: whatever is published from here on is told.
          if (!begun) begin(mine);
        } else if (event.__typename === "MessagesRetracted") {
          cursor = event.at;
          retracted(event.ids, event.reason);
        } else if (event.__typename === "MessagePublished") {
          if (event.message.persistent) cursor = event.message.id;
          arrived(event.message);
        }
      },
      (text, code) => {
        if (code === "UNKNOWN_CURSOR") restart();
        else if (code === "BAD_USER_INPUT" && filters.length) {
          empty.textContent = "Not loaded.";
          form.refuse(`${text} (${code})`);
        } else {
          if (code) empty.textContent = "Not loaded.";
          say(text, code);
        }
      },
    );
  }
  restart();

  return {
    stop: () => {
      round++;
      clearTimeout(drawing);
      stop();
    },
    keys: {
      ...rows.keys(),
      r: ["retract the selected messages", () => retract(session, channel, rows.targets())],
      b: [
        "ban the publisher of the message",
        () => {
          const [message] = rows.targets();
          if (message) banPublisher(session, channel.projectId, message);
        },
      ],
      "/": ["search", () => form.focus()],
    },
  };
}
