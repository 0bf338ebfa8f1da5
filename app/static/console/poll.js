/** A live poll of any field: the server counts the values as messages come. */
import { element, text } from "../demo/dom.js";
import { field, input, select } from "./dialog.js";
import { GROUPS, GROUPS_AVERAGE, PAGE } from "./documents.js";
import { Filters, pathsOf } from "./filters.js";
import { count } from "./format.js";

const SAMPLE_MESSAGES = 20;

/** The path whose values repeat the most: what a poll would be about. */
function likely(sample) {
  const values = new Map();
  for (const { data } of sample)
    for (const path of pathsOf(data)) {
      const value = path.split(".").slice(1).reduce((part, key) => part?.[key], data);
      if (!values.has(path)) values.set(path, []);
      values.get(path).push(JSON.stringify(value));
    }
  const repeats = (list) => list.length - new Set(list).size;
  const [best] = [...values].sort(([, one], [, other]) => repeats(other) - repeats(one));
  return { paths: [...values.keys()], best: best?.[0] ?? "data.choice" };
}

export function showPoll(place, session, channel) {
  let stop = () => {};
  let ended = false;
  const suggested = element("datalist");
  suggested.id = "poll-fields";
  const group = input("group", { list: suggested.id, required: "", spellcheck: "false" });
  const average = input("average", { list: suggested.id, spellcheck: "false" });
  const most = select("most", [
    ["10", "10"],
    ["25", "25"],
    ["50", "50"],
  ]);
  const form = element("form", "poll-form");
  const go = element("button", "small primary", "Show");
  go.type = "submit";
  form.append(
    suggested,
    field("Field", group),
    field("Average of (optional)", average),
    field("Most bars", most),
    go,
  );
  const filtering = element("details");
  filtering.append(element("summary", "", "Only messages that …"));
  const chosen = new Filters();
  filtering.append(chosen.element);
  const status = element("p", "state");
  status.setAttribute("role", "status");
  const bars = element("ol", "bars");
  bars.setAttribute("aria-label", "Values, the most frequent first");
  const total = element("p", "total");
  total.setAttribute("role", "status");
  place.append(form, filtering, status, bars, total);

  const rounded = (number) => number.toLocaleString([], { maximumFractionDigits: 2 });

  function draw({ totalCount, groups, aggregate }) {
    const all = groups.reduce((sum, one) => sum + one.count, 0);
    const highest = Math.max(0, ...groups.map((one) => one.count));
    bars.replaceChildren(
      ...groups.map((one) => {
        const share = all ? one.count / all : 0;
        const bar = element("li", one.count === highest ? "bar leads" : "bar");
        bar.style.setProperty("--share", share);
        const said = one.key === null ? "no value" : text(one.key).slice(0, 200);
        const mean = one.aggregate?.avg;
        bar.append(
          element("span", "fill"),
          element("span", one.key === null ? "label none" : "label", said || '""'),
          element(
            "span",
            "count",
            `${one.count.toLocaleString()} · ${Math.round(share * 100)} %` +
              (mean == null ? "" : ` · ⌀ ${rounded(mean)}`),
          ),
        );
        return bar;
      }),
    );
    const rest = totalCount - groups.length;
    const mean = aggregate?.avg;
    total.textContent = groups.length
      ? `${count(all, "message")} in ${count(groups.length, "value")}` +
        (rest > 0 ? `, and ${count(rest, "value")} more` : "") +
        (mean == null ? "" : `; average ${rounded(mean)}`)
      : "No message yet.";
  }

  function start() {
    const filters = chosen.read();
    if (!filters) return;
    stop();
    status.textContent = "";
    bars.replaceChildren();
    total.textContent = "Loading …";
    const mean = average.value.trim();
    stop = session.subscribe(
      mean ? GROUPS_AVERAGE : GROUPS,
      {
        ...channel,
        query: { groupBy: group.value.trim(), filters, limit: Number(most.value) },
        ...(mean && { average: mean }),
      },
      ({ liveMessages }) => draw(liveMessages),
      (said, code) => {
        if (said && code) total.textContent = "";
        status.textContent = said && code ? `${said} (${code})` : said;
      },
    );
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start();
  });

  session.ask(PAGE, { ...channel, query: { sortOrder: "DESC", limit: SAMPLE_MESSAGES } }).then(
    ({ messages }) => {
      if (ended) return;
      const { paths, best } = likely(messages.messages);
      suggested.append(...[...paths, "username"].map((path) => new Option(path, path)));
      chosen.suggest(paths);
      if (group.value) return;
      group.value = best;
      start();
    },
    (error) => (status.textContent = `${error.message} (${error.code})`),
  );

  return {
    stop: () => {
      ended = true;
      stop();
    },
    keys: { "/": ["choose the field", () => group.focus()] },
  };
}
