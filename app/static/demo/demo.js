/**
 * The page: reads the channel from the address, draws what the widgets report, passes on what
 * people do. Whatever comes from a message is shown as text, never as markup.
 */
import { openChat } from "./chat.js";
import { openConnected } from "./connected.js";
import { GraphQLClient } from "./graphql.js";
import { openLeaderboard } from "./leaderboard.js";
import { openPoll } from "./poll.js";
import { showSource } from "./source.js";

const CHOICES = ["Into the forest", "Down to the harbour", "Up the mountain"];
const MOST_MESSAGES = 100;

const root = new URL("../", import.meta.url);
const asked = new URLSearchParams(location.search);
const valid = (id, most) => (new RegExp(`^[\\w.-]{1,${most}}$`).test(id ?? "") ? id : null);
const project = valid(asked.get("project"), 64) ?? "demo";
const widget = valid(asked.get("widget"), 57) ?? "chat";
// In the fragment, which no server or log ever sees: #token=…
const token = new URLSearchParams(location.hash.slice(1)).get("token");

const $ = (selector, within = document) => within.querySelector(selector);
const panel = (name) => $(`[data-panel="${name}"]`);
const element = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};
/** A line of the panel that tells what is wrong, and is empty when all is well. */
const stateOf = (within) => {
  const line = $(".state", within);
  return (text) => {
    if (line.textContent !== text) line.textContent = text;
  };
};
const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
const nameOf = ({ username, data }) => username || (data?.name ? text(data.name) : "Someone");

/** A different colour for each name, the same in every window. */
function hue(name) {
  let sum = 0;
  for (const char of name) sum = (sum * 31 + char.codePointAt(0)) % 360;
  return sum;
}

function avatar(name) {
  const face = element("span", "avatar", [...name][0].toUpperCase());
  face.setAttribute("aria-hidden", "true");
  face.style.setProperty("--hue", hue(name));
  return face;
}

function remembered() {
  const given = `Guest ${100 + Math.floor(Math.random() * 900)}`;
  try {
    return localStorage.getItem("widgetwire.name") ?? given;
  } catch {
    return given;
  }
}

function remember(name) {
  try {
    localStorage.setItem("widgetwire.name", name);
  } catch {
    // Storage is off: the name lasts as long as the page.
  }
}

function chat() {
  const within = panel("chat");
  const log = $(".log", within);
  const form = $("form", within);
  const state = stateOf(within);
  const shown = new Map();
  form.elements.name.value = remembered();
  const me = () => form.elements.name.value.trim() || "Someone";

  const show = (message) => {
    if (shown.has(message.id)) return;
    const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    const name = nameOf(message);
    const item = element("li");
    const head = element("p", "who");
    const when = new Date(message.created);
    const time = element("time", "", when.toLocaleTimeString([], { timeStyle: "short" }));
    time.dateTime = when.toISOString();
    head.append(element("strong", "", name), " ", time);
    const said = element("p", "said", text(message.data?.text ?? message.data));
    const body = element("div");
    body.append(head, said);
    item.append(avatar(name), body);
    item.dataset.created = message.created;
    item.dataset.id = message.id;
    // What is found and what arrives live may cross: the order is the server's.
    const later = [...log.children].find(
      ({ dataset }) =>
        +dataset.created > message.created ||
        (+dataset.created === message.created && dataset.id > message.id),
    );
    log.insertBefore(item, later ?? null);
    shown.set(message.id, item);
    if (log.children.length > MOST_MESSAGES) {
      shown.delete(log.firstElementChild.dataset.id);
      log.firstElementChild.remove();
    }
    if (follows) log.scrollTop = log.scrollHeight;
  };

  const history = (messages) => {
    messages.forEach(show);
    // Read out from here on: what is new, not all that was said before.
    log.setAttribute("aria-live", "polite");
  };

  const channel = { project, widget, token: token ?? undefined };
  const { say } = openChat(channel, { history, show, state });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = form.elements.text;
    const said = field.value.trim();
    if (!said) return;
    field.value = "";
    remember(me());
    try {
      await say(me(), said);
      state("");
    } catch (error) {
      // Nothing typed is lost.
      field.value ||= said;
      state(error.message);
    }
  });
  return me;
}

function poll(client) {
  const within = panel("poll");
  const bars = $(".bars", within);
  const state = stateOf(within);
  const rows = new Map();
  const channel = { projectId: project, widgetId: `${widget}-poll` };

  const row = (choice) => {
    const key = JSON.stringify(choice);
    if (rows.has(key)) return rows.get(key);
    const item = element("li");
    const button = element("button", "bar");
    const label = element("span", "label", text(choice));
    const count = element("span", "count", "0");
    button.type = "button";
    button.append(element("span", "fill"), label, count);
    button.addEventListener("click", () =>
      vote(choice).then(
        () => state(""),
        (error) => state(error.message),
      ),
    );
    item.append(button);
    bars.append(item);
    const made = { item, button, count, choice };
    rows.set(key, made);
    return made;
  };

  const show = (groups) => {
    const counts = new Map(groups.map(({ key, count }) => [JSON.stringify(key), count]));
    for (const { key } of groups) row(key);
    const total = groups.reduce((sum, { count }) => sum + count, 0);
    const most = Math.max(0, ...counts.values());
    for (const [key, { item, button, count, choice }] of rows) {
      const votes = counts.get(key) ?? 0;
      // A choice that someone else made up goes when it is no longer among the first.
      if (!votes && !CHOICES.includes(choice)) {
        item.remove();
        rows.delete(key);
        continue;
      }
      const share = total ? votes / total : 0;
      button.style.setProperty("--share", share);
      button.classList.toggle("leads", votes > 0 && votes === most);
      count.textContent = `${votes} · ${Math.round(share * 100)} %`;
      button.setAttribute(
        "aria-label",
        `Vote for ${text(choice)}: ${votes} ${votes === 1 ? "vote" : "votes"}`,
      );
    }
    $(".total", within).textContent = `${total} ${total === 1 ? "vote" : "votes"}`;
  };

  CHOICES.forEach(row);
  show([]);
  const { vote } = openPoll(client, channel, { show, state });
}

function leaderboard(client, me) {
  const within = panel("leaderboard");
  const ranks = $(".ranks", within);
  const state = stateOf(within);
  const channel = { projectId: project, widgetId: `${widget}-scores` };

  const show = (messages) =>
    ranks.replaceChildren(
      ...messages.map((message) => {
        const name = nameOf(message);
        const item = element("li");
        item.append(
          avatar(name),
          element("span", "label", name),
          element("strong", "count", text(message.data.score)),
        );
        return item;
      }),
    );

  const { post } = openLeaderboard(client, channel, { show, state });
  $(".play button", within).addEventListener("click", async () => {
    const rolled = 1 + Math.floor(Math.random() * 100);
    try {
      await post(me(), rolled);
      $(".play output", within).textContent = `You rolled ${rolled}`;
      state("");
    } catch (error) {
      state(error.message);
    }
  });
}

function connected(client) {
  const within = panel("connected");
  openConnected(
    client,
    { projectId: project, widgetId: widget },
    { show: (count) => ($("#count").textContent = count), state: stateOf(within) },
  );
}

/** The legacy API is a classic script, and takes its channel from the script's own attributes. */
function legacyApi() {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("c8/player-api.js", root);
    Object.assign(script.dataset, { project, widget });
    script.onload = resolve;
    script.onerror = () => reject(new Error("c8/player-api.js could not be loaded"));
    document.head.append(script);
  });
}

const form = $("#channel");
form.elements.project.value = project;
form.elements.widget.value = widget;
const here = new URL(root);
here.search = new URLSearchParams({ project, widget });
here.hash = location.hash;
$("#second").href = here;
for (const [name, suffix] of Object.entries({ chat: "", poll: "-poll", leaderboard: "-scores" }))
  $(".chip", panel(name)).textContent = `${project}/${widget}${suffix}`;

const tag = {
  title: "in the page",
  text:
    `<script src="${new URL("c8/player-api.js", root)}"\n` +
    `  data-project="${project}" data-widget="${widget}"></scr` +
    `ipt>\n`,
};
for (const holder of document.querySelectorAll("[data-code]"))
  showSource(holder, "tag" in holder.dataset ? [tag] : []);

const client = new GraphQLClient(new URL("graphql", root), token);
connected(client);
poll(client);
try {
  await legacyApi();
  leaderboard(client, chat());
} catch (error) {
  stateOf(panel("chat"))(error.message);
  leaderboard(client, () => "Someone");
}
