/** The bans of a project. */
import { button, element } from "../demo/dom.js";
import { ban } from "./act.js";
import { attempt, described, input, open } from "./dialog.js";
import { BANS, UNBAN } from "./documents.js";
import { badge, count, time } from "./format.js";

const MOST_SHOWN = 300;
const LOOK_MS = 15_000;
const MODES = { MUTE: "muted", SHADOW: "shadowed", KICK: "kicked" };

const nameOf = ({ username, sub, clientId }) => username ?? sub ?? clientId;
const kindOf = ({ username, sub }) =>
  username !== null ? "username" : sub !== null ? "sub" : "client id";

export function showBans(place, session, projectId) {
  let bans = [];
  let ended = false;
  const bar = element("div", "bar-line");
  const find = input("find", { type: "search", placeholder: "Find a name" });
  find.setAttribute("aria-label", "Find a name");
  const add = button("", "Ban a person", async () => {
    if (await ban(session, projectId)) await look();
  });
  bar.append(find, add);
  const status = element("p", "state");
  status.setAttribute("role", "status");
  const list = element("ol", "rows");
  list.setAttribute("aria-label", "Bans, newest first");
  const empty = element("p", "empty-note", "Loading …");
  const rest = element("p", "hint");
  place.append(bar, status, list, empty, rest);
  find.addEventListener("input", () => draw());

  async function unban(one) {
    const sure = await open(
      `Lift the ban of ${nameOf(one)}?`,
      ["They can do again what they could before, within a second."],
      { confirm: "Lift the ban", act: () => true },
    );
    if (!sure) return;
    await attempt(
      () =>
        session.ask(UNBAN, { projectId, id: one.id }),
      ({ unban: lifted }) =>
        lifted ? `The ban of ${nameOf(one)} is lifted.` : "This ban was over already.",
    );
    await look();
  }

  function row(one) {
    const made = element("li", "row ban");
    const body = element("div", "row-body");
    const head = element("p", "row-head");
    head.append(
      element("strong", "", nameOf(one)),
      badge(kindOf(one), "What the ban is about"),
      badge(MODES[one.mode], `Mode ${one.mode}`, "bad"),
    );
    const until = element("p", "data");
    if (one.until === null) until.append("For ever");
    else until.append("Until ", time(one.until));
    if (one.reason !== null) until.append(": ", one.reason);
    body.append(head, until);
    const lift = button("small", "Lift…", () => unban(one));
    lift.setAttribute("aria-label", `Lift the ban of ${nameOf(one)}`);
    const actions = element("div", "row-actions");
    actions.append(lift);
    made.append(body, actions);
    return made;
  }

  function draw() {
    const word = find.value.trim().toLowerCase();
    const found = bans.filter((one) => nameOf(one).toLowerCase().includes(word));
    list.replaceChildren(...found.slice(0, MOST_SHOWN).map(row));
    empty.hidden = found.length > 0;
    empty.textContent = bans.length ? "No ban has this name." : "Nobody is banned.";
    const more = found.length - MOST_SHOWN;
    rest.textContent = more > 0 ? `${count(more, "more ban")}: find them by name.` : "";
  }

  async function look() {
    try {
      const answer = await session.ask(BANS, { projectId });
      if (ended) return;
      const before = JSON.stringify(bans);
      bans = answer.bans;
      status.textContent = "";
      // What has not changed keeps its focus.
      if (JSON.stringify(bans) !== before || !empty.hidden) draw();
    } catch (error) {
      if (ended) return;
      status.textContent = described(error);
      if (!bans.length) empty.textContent = "Not loaded.";
    }
  }
  look();
  const timer = setInterval(() => document.hidden || look(), LOOK_MS);
  return {
    stop: () => {
      ended = true;
      clearInterval(timer);
    },
    keys: {
      b: ["ban a person", () => add.click()],
      "/": ["find a name", () => find.focus()],
    },
  };
}
