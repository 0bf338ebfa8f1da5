/** The poll as it is drawn: a bar for each choice, with one's own marked. */
import { $, button, element, text } from "./dom.js";
import { Panel } from "./panel.js";
import { openPoll } from "./poll.js";

const CHOICES = ["Into the forest", "Down to the harbour", "Up the mountain"];

const votes = (count) => `${count} ${count === 1 ? "vote" : "votes"}`;

export function drawPoll(client, channel) {
  const panel = new Panel("poll", "Your vote will be sent when the connection is back.");
  const bars = $(".bars", panel.within);
  const rows = new Map();
  let groups = [];
  let mine; // as the server has it
  let asked; // on its way

  const row = (choice) => {
    const key = JSON.stringify(choice);
    if (rows.has(key)) return rows.get(key);
    const item = element("li");
    const bar = button("bar", undefined, () => choose(choice));
    const count = element("span", "count", "0");
    bar.append(element("span", "fill"), element("span", "label", text(choice)), count);
    item.append(bar);
    bars.append(item);
    const made = { item, bar, count, choice };
    rows.set(key, made);
    return made;
  };

  const draw = () => {
    const counts = new Map(groups.map(({ key, count }) => [JSON.stringify(key), count]));
    for (const { key } of groups) row(key);
    const total = groups.reduce((sum, { count }) => sum + count, 0);
    const most = Math.max(0, ...counts.values());
    for (const [key, { item, bar, count, choice }] of rows) {
      const all = counts.get(key) ?? 0;
      // A choice that someone else made up goes when it is no longer among the first.
      if (!all && !CHOICES.includes(choice)) {
        item.remove();
        rows.delete(key);
        continue;
      }
      const share = total ? all / total : 0;
      const own = choice === (asked ?? mine);
      bar.style.setProperty("--share", share);
      bar.classList.toggle("leads", all > 0 && all === most);
      bar.classList.toggle("asked", choice === asked);
      bar.setAttribute("aria-pressed", own);
      bar.setAttribute(
        "aria-label",
        `Vote for ${text(choice)}: ${votes(all)}${own ? ", one of them yours" : ""}`,
      );
      count.textContent = `${all} · ${Math.round(share * 100)} %`;
    }
    const line = $(".total", panel.within);
    line.textContent = votes(total);
    if (mine !== undefined) line.append(element("span", "hint", ". You can change yours."));
  };

  const choose = async (choice) => {
    if (choice === (asked ?? mine)) return;
    asked = choice;
    draw();
    try {
      await panel.follow(vote(choice));
      mine = choice;
    } catch {
      // The panel says why; the vote before, if there was one, still counts.
    }
    if (asked === choice) asked = undefined;
    draw();
  };

  CHOICES.forEach(row);
  draw();
  const { vote } = openPoll(client, channel, {
    show: (found) => {
      groups = found;
      draw();
    },
    mine: (choice) => {
      mine = choice;
      draw();
    },
    ...panel.callbacks,
  });
}
