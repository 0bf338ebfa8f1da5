/** The page: reads the channel from the address and opens the widgets on it. */
import { drawChat } from "./chat-panel.js";
import { openConnected } from "./connected.js";
import { $ } from "./dom.js";
import { GraphQLClient } from "./graphql.js";
import { drawLeaderboard } from "./leaderboard-panel.js";
import { Panel } from "./panel.js";
import { drawPoll } from "./poll-panel.js";
import { showSource } from "./source.js";

const root = new URL("../", import.meta.url);
const asked = new URLSearchParams(location.search);
const valid = (id, most) => (new RegExp(`^[\\w.-]{1,${most}}$`).test(id ?? "") ? id : null);
const project = valid(asked.get("project"), 64) ?? "demo";
const widget = valid(asked.get("widget"), 57) ?? "chat";
// In the fragment, which no server or log ever sees: #token=…
const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? undefined;
const channel = (suffix) => ({ project, widget: widget + suffix, token });

/** The legacy API is a classic script, and takes its channel from the script's own attributes. */
function legacyApi() {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("c8/player-api.js", root);
    Object.assign(script.dataset, { project, widget });
    script.onload = resolve;
    script.onerror = () => reject(new Error("c8/player-api.js could not be loaded."));
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
  $(`[data-panel="${name}"] .chip`).textContent = `${project}/${widget}${suffix}`;

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
const { state } = new Panel("connected").callbacks;
openConnected(client, channel(""), { show: (count) => ($("#count").textContent = count), state });
try {
  await legacyApi();
  const me = drawChat(channel(""));
  drawPoll(client, channel("-poll"));
  drawLeaderboard(client, channel("-scores"), me);
} catch (error) {
  for (const name of ["chat", "poll", "leaderboard"])
    new Panel(name).callbacks.link(error.message, { final: true });
}
