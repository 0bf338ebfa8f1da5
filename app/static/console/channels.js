/** The channels of a project, the most recently written first, with what goes on in them. */
import { button, element } from "../demo/dom.js";
import { described } from "./dialog.js";
import { CHANNELS, CONNECTED } from "./documents.js";
import { time } from "./format.js";

const PAGE = 50; // so many subscriptions, too; a socket may have 100
const LOOK_MS = 2_000;
const SMOOTH_MS = 10_000; 
/** Messages a second, from counts over the last seconds; null until there are two. */
function rateOf(samples) {
  if (samples.length < 2) return null;
  const [first, last] = [samples[0], samples.at(-1)];
  return Math.max(0, ((last.messages - first.messages) * 1000) / (last.at - first.at));
}

function rateText(rate) {
  if (rate === null) return "–";
  return rate > 0 && rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString();
}

export function showChannels(place, session, projectId) {
  const trail = [null]; // the `after` of each page up to this one
  const samples = new Map();
  const counting = new Map(); // widget → what ends its subscription
  const live = new Map();
  let ended = false;
  let shown = [];
  let looking = 0;

  const status = element("p", "state");
  status.setAttribute("role", "status");
  const table = element("table", "channels");
  const head = element("tr");
  for (const name of ["Channel", "Messages", "Connected", "Messages/s", "Last message"]) {
    const cell = element("th", "", name);
    cell.scope = "col";
    head.append(cell);
  }
  const top = element("thead");
  top.append(head);
  const body = element("tbody");
  table.append(top, body);
  const empty = element("p", "empty-note", "Loading …");
  const newer = button("small", "← Busier", () => {
    trail.pop();
    look();
  });
  const older = button("small", "Quieter →", () => {
    trail.push(shown.at(-1).widgetId);
    look();
  });
  const pages = element("div", "actions pages");
  pages.append(newer, older);
  const other = element("form", "bar-line");
  const name = element("input");
  name.name = "widget";
  name.placeholder = "Another channel";
  name.setAttribute("aria-label", "Another channel's widget id");
  name.pattern = "[A-Za-z0-9_.\\-]{1,64}";
  name.title = "1 to 64 letters, digits, _ . -";
  name.autocomplete = "off";
  name.required = true;
  const go = element("button", "small", "Open");
  go.type = "submit";
  other.append(name, go);
  other.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = `#/${projectId}/${name.value}/messages`;
  });
  place.append(status, table, empty, pages, other);

  const cell = (label, content, className = "") => {
    const made = element("td", className);
    made.dataset.label = label;
    made.append(content);
    return made;
  };

  function draw() {
    const focused = document.activeElement?.closest?.("tr")?.dataset.widget;
    body.replaceChildren(
      ...shown.map((one) => {
        const row = element("tr");
        row.dataset.widget = one.widgetId;
        const link = element("a", "", one.widgetId);
        link.href = `#/${projectId}/${one.widgetId}/messages`;
        const heading = element("th");
        heading.scope = "row";
        heading.append(link);
        const connected = live.get(one.widgetId) ?? one.connections;
        row.append(
          heading,
          cell("Messages", one.messages.toLocaleString()),
          cell("Connected", connected.toLocaleString(), "count-now"),
          cell("Messages/s", rateText(rateOf(samples.get(one.widgetId) ?? []))),
          cell("Last message", one.lastCreated === null ? "never" : time(one.lastCreated)),
        );
        return row;
      }),
    );
    const again = [...body.children].find((row) => focused && row.dataset.widget === focused);
    again?.querySelector("a").focus();
    table.hidden = !shown.length;
    empty.hidden = shown.length > 0;
    empty.textContent =
      trail.length > 1 ? "No more channels." : "No channel yet: nobody has published or connected.";
    newer.disabled = trail.length < 2;
    older.disabled = shown.length < PAGE;
    pages.hidden = newer.disabled && older.disabled;
  }

  function count() {
    const names = new Set(shown.map(({ widgetId }) => widgetId));
    for (const [widget, stop] of counting)
      if (!names.has(widget)) {
        stop();
        counting.delete(widget);
        live.delete(widget);
        samples.delete(widget);
      }
    for (const widgetId of names)
      if (!counting.has(widgetId))
        counting.set(
          widgetId,
          session.subscribe(
            CONNECTED,
            { projectId, widgetId },
            ({ connectionCount }) => {
              live.set(widgetId, connectionCount.count);
              const row = [...body.children].find(({ dataset }) => dataset.widget === widgetId);
              const shown = row?.querySelector(".count-now");
              if (shown) shown.textContent = connectionCount.count.toLocaleString();
            },
            (text, code) => text && code && live.delete(widgetId),
          ),
        );
  }

  async function look() {
    const mine = ++looking;
    try {
      const after = trail.at(-1);
      const { channels } = await session.ask(CHANNELS, { projectId, limit: PAGE, after });
      if (ended || mine !== looking) return;
      const at = performance.now();
      shown = channels;
      for (const { widgetId, messages } of shown) {
        const list = samples.get(widgetId) ?? [];
        list.push({ at, messages });
        while (list.length > 2 && list[0].at < at - SMOOTH_MS) list.shift();
        samples.set(widgetId, list);
      }
      status.textContent = "";
      draw();
      count();
    } catch (error) {
      if (ended || mine !== looking) return;
      if (error.code === "UNKNOWN_CURSOR") {
        trail.length = 1; // the channel was deleted meanwhile
        return;
      }
      status.textContent = described(error);
      if (!shown.length) empty.textContent = "Not loaded.";
    }
  }

  function move(step) {
    const links = [...body.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    links[at < 0 ? (step > 0 ? 0 : links.length - 1) : at + step]?.focus();
  }

  look();
  const timer = setInterval(() => document.hidden || look(), LOOK_MS);
  return {
    stop: () => {
      ended = true;
      clearInterval(timer);
      for (const stop of counting.values()) stop();
    },
    keys: {
      j: ["next channel", () => move(1)],
      k: ["previous channel", () => move(-1)],
      "/": ["open another channel", () => name.focus()],
    },
  };
}
