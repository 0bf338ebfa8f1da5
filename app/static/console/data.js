/** A channel's messages to a file, and for admins their deletion. */
import { button, element } from "../demo/dom.js";
import { attempt, described, field, input, open, select } from "./dialog.js";
import { COUNT, DELETE } from "./documents.js";
import { exported, MOST_MESSAGES } from "./export.js";
import { Filters } from "./filters.js";
import { count } from "./format.js";

function save(blob, name) {
  const link = element("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** The filters, folded: most have none. */
function only(filters) {
  const made = element("details");
  made.append(element("summary", "", "Only messages that …"), filters.element);
  return made;
}

function exporting(session, channel) {
  const section = element("section", "panel");
  const format = select("format", [
    ["jsonl", "JSON Lines"],
    ["csv", "CSV"],
  ]);
  const start = button("", "Export", () => run());
  const cancel = button("small", "Cancel", () => abort?.abort());
  cancel.hidden = true;
  const progress = element("progress");
  progress.hidden = true;
  progress.setAttribute("aria-label", "Exported");
  const status = element("p", "state calm");
  status.setAttribute("role", "status");
  let abort = null;
  const chosen = new Filters();
  const line = element("div", "bar-line");
  line.append(field("Format", format), start, cancel);
  section.append(
    element("h2", "", "Export"),
    element(
      "p",
      "hint",
      `All stored messages, oldest first, at most ${MOST_MESSAGES.toLocaleString()}; ` +
        "“widgetwire import” reads the file. Without a bound: “widgetwire export”.",
    ),
    only(chosen),
    line,
    progress,
    status,
  );

  async function run() {
    const filters = chosen.read();
    if (!filters) return;
    abort = new AbortController();
    start.disabled = true;
    cancel.hidden = progress.hidden = false;
    progress.removeAttribute("value");
    status.classList.add("calm");
    status.textContent = "Counting …";
    try {
      const found = await exported(session, channel, {
        format: format.value,
        filters,
        signal: abort.signal,
        progress: (done, total) => {
          progress.max = Math.max(1, total);
          progress.value = done;
          status.textContent = `${done.toLocaleString()} of ${count(total, "message")}`;
        },
      });
      save(found.blob, `${channel.projectId}-${channel.widgetId}.${format.value}`);
      status.textContent =
        `${count(found.messages, "message")} exported.` +
        (found.more ? " There are more: “widgetwire export” has no bound." : "");
    } catch (error) {
      const cancelled = error.name === "AbortError";
      status.classList.toggle("calm", cancelled);
      status.textContent = cancelled ? "Cancelled. Nothing was saved." : described(error);
    } finally {
      abort = null;
      start.disabled = false;
      cancel.hidden = progress.hidden = true;
    }
  }
  return { section, stop: () => abort?.abort() };
}

function deleting(session, channel) {
  const section = element("section", "panel danger-zone");
  const status = element("p", "state");
  status.setAttribute("role", "status");
  const chosen = new Filters();
  const start = button("danger", "Delete messages…", async () => {
    const filters = chosen.read();
    const number = filters && (await matching(filters));
    if (number === null) return;
    const typed = input("typed", { spellcheck: "false", autocapitalize: "none" });
    const deleted = await open(
      `Delete ${count(number, "message")} for good?`,
      [
        filters.length
          ? `Those of ${channel.widgetId} that match ${count(filters.length, "filter")}.`
          : `All of ${channel.widgetId}. The channel is empty then.`,
        "They are removed from the database. This cannot be undone.",
        field(`To confirm, type ${channel.widgetId}`, typed),
      ],
      {
        confirm: "Delete for good",
        danger: true,
        act: async () => {
          if (typed.value !== channel.widgetId)
            throw new Error(`Type ${channel.widgetId} to confirm.`);
          const answer = await session.ask(DELETE, { ...channel, filters });
          return { number: answer.deleteMessages };
        },
      },
    );
    if (deleted) await attempt(async () => deleted, `${count(deleted.number, "message")} deleted.`);
  });
  section.append(
    element("h2", "", "Delete"),
    element("p", "hint", "Removes messages from the database for good. Export them before."),
    only(chosen),
    status,
    start,
  );

  async function matching(filters) {
    status.textContent = "";
    try {
      const { messages } = await session.ask(COUNT, { ...channel, query: { filters, limit: 0 } });
      return messages.totalCount;
    } catch (error) {
      status.textContent = described(error);
      return null;
    }
  }
  return section;
}

export function showData(place, session, channel) {
  const { section, stop } = exporting(session, channel);
  place.append(section);
  if (session.admin) place.append(deleting(session, channel));
  return { stop, keys: {} };
}
