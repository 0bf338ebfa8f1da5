/**
 * Messages as a file, in the form that `widgetwire import` reads. Each message is copied as the
 * server wrote it, so that numbers keep their value: a page that parsed them would round some.
 */
import { COUNT, EXPORT } from "./documents.js";

export const MOST_MESSAGES = 100_000;
const PAGE = 1_000;
const MOST_WAITS = 20;
const LONGEST_WAIT_MS = 10_000;
const COLUMNS = ["widget_id", "id", "client_id", "created", "username", "data"];
const LIST = '"messages":[';

/** Returns the text of each element of the JSON list that begins at `from`. */
export function elements(json, from) {
  const found = [];
  let depth = 0;
  let start = from;
  for (let at = from; at < json.length; at++) {
    const char = json[at];
    if (char === '"') {
      for (at++; json[at] !== '"'; at++) if (json[at] === "\\") at++;
    } else if (char === "{" || char === "[") {
      if (!depth++) start = at;
    } else if (char === "}" || char === "]") {
      if (!depth) break;
      if (!--depth) found.push(json.slice(start, at + 1));
    }
  }
  return found;
}

const quoted = (said) => `"${said.replaceAll('"', '""')}"`;

/** One message, whose text is an object with the page's fields in their order, `data` last. */
function csvLine(widgetId, text) {
  const { id, client_id, created, username } = JSON.parse(text);
  // A quote within a string has a backslash before it: this is the key.
  const mark = ',"data":';
  const data = text.slice(text.indexOf(mark) + mark.length, -1);
  const cells = [widgetId, id, client_id, String(created), username ?? "", data];
  return cells.map((cell) => (/[",\r\n]/.test(cell) ? quoted(cell) : cell)).join(",");
}

const wait = (milliseconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });

/** Asks, and waits where the server says that it is too early. */
async function patiently(ask, signal) {
  for (let waits = 0; ; waits++)
    try {
      return await ask();
    } catch (error) {
      const later = ["RATE_LIMITED", "UNAVAILABLE", "OFFLINE"].includes(error.code);
      if (!later || waits === MOST_WAITS) throw error;
      await wait(Math.min(LONGEST_WAIT_MS, error.retryAfterMs ?? 1000), signal);
    }
}

/**
 * Reads a channel, oldest first, at most 100,000 messages.
 *
 * @param {"jsonl" | "csv"} format
 * @param {(done: number, total: number) => void} progress
 * @returns {Promise<{blob: Blob, messages: number, more: boolean}>} `more`: there are others
 */
export async function exported(session, channel, { format, filters, signal, progress }) {
  const query = { filters };
  const { messages } = await patiently(
    () => session.ask(COUNT, { ...channel, query: { ...query, limit: 0 } }, signal),
    signal,
  );
  const total = Math.min(messages.totalCount, MOST_MESSAGES);
  const parts = format === "csv" ? [`${COLUMNS.join(",")}\r\n`] : [];
  const end = format === "csv" ? "\r\n" : "\n";
  const first = `{"widget_id":${JSON.stringify(channel.widgetId)},`;
  let done = 0;
  let after = null;
  let more = true;
  progress(0, total);
  while (more && done < MOST_MESSAGES) {
    const limit = Math.min(PAGE, MOST_MESSAGES - done);
    const text = await patiently(
      () => session.text(EXPORT, { ...channel, query: { ...query, limit, after } }, signal),
      signal,
    );
    const list = elements(text, text.indexOf(LIST) + LIST.length);
    const { pageInfo } = JSON.parse(text.slice(0, text.indexOf(LIST) - 1) + "}}}").data.messages;
    for (const one of list)
      parts.push(
        format === "csv" ? csvLine(channel.widgetId, one) : first + one.slice(1),
        end,
      );
    done += list.length;
    ({ hasNextPage: more, endCursor: after } = pageInfo);
    progress(done, Math.max(done, total));
  }
  const type = format === "csv" ? "text/csv" : "application/jsonl";
  return { blob: new Blob(parts, { type }), messages: done, more };
}
