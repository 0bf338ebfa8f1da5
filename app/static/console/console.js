/**
 * The console: who is signed in, which project, channel and view the address names. The address
 * never has a token: `#/PROJECT/WIDGET/VIEW`, `#/PROJECT`, `#/PROJECT/~bans`.
 */
import { $, button, element } from "../demo/dom.js";
import { showBans } from "./bans.js";
import { showChannels } from "./channels.js";
import { showData } from "./data.js";
import { CONNECTED } from "./documents.js";
import { setKeys, showKeys } from "./keys.js";
import { showMessages } from "./messages.js";
import { showPolicy } from "./policy.js";
import { showPoll } from "./poll.js";
import { showReview } from "./review.js";
import { kept, Session } from "./session.js";
import { askForToken, showSignIn } from "./sign-in.js";

const VIEWS = {
  messages: ["Messages", showMessages],
  review: ["Review", showReview],
  poll: ["Poll", showPoll],
  policy: ["Policy", showPolicy],
  data: ["Data", showData],
};
const LISTENING = new Set(["messages", "poll", "policy"]); // they subscribe to the channel
const ID = /^[\w.-]{1,64}$/;

const main = $("#main");
let session = null;
let ends = []; // what ends the present view

function leave() {
  for (const end of ends.splice(0)) end();
  setKeys({});
  main.replaceChildren();
}

function signOut() {
  session?.close();
  session = null;
  leave();
  $("#account").hidden = true;
  $("#link").hidden = $("#expiring").hidden = true;
  for (const dialog of document.querySelectorAll("dialog")) dialog.remove();
  signIn();
}

const renew = (token) => session.renew(token);

const told = {
  link: (up) => {
    const line = $("#link");
    line.hidden = false;
    line.textContent = up ? "Live" : "Offline. Reconnecting …";
    line.classList.toggle("up", up);
  },
  expiring: (soon) => {
    const line = $("#expiring");
    line.hidden = !soon;
    line.replaceChildren();
    if (soon)
      line.append(
        "Your token expires within a minute. ",
        button("small", "New token", () => askForToken(null, renew, signOut)),
      );
  },
  viewer: ({ username, sub, permissions }) => {
    $("#account").hidden = false;
    const role = permissions.includes("admin") ? "admin" : "moderator";
    $(".who-am-i").textContent = `${username ?? sub ?? "token without a name"} · ${role}`;
  },
  newToken: (reason) => {
    $("#link").textContent = "Waiting for a new token";
    return askForToken(reason, renew, signOut);
  },
};

async function enter(token, keeps) {
  session = await Session.open(token, keeps, told);
  show();
}

function signIn(problem = null) {
  showSignIn(main, enter, problem);
}

function chooseProject() {
  const panel = element("section", "panel sign-in");
  const { projects } = session.viewer;
  panel.append(element("h1", "", "Project"));
  if (projects) {
    const list = element("ul", "projects");
    for (const project of projects) {
      const link = element("a", "", project);
      link.href = `#/${project}`;
      const item = element("li");
      item.append(link);
      list.append(item);
    }
    panel.append(projects.length ? list : element("p", "", "Your token names no project."));
    main.append(panel);
    return;
  }
  const form = element("form", "bar-line");
  const name = element("input");
  name.name = "project";
  name.required = true;
  name.pattern = "[A-Za-z0-9_.\\-]{1,64}";
  name.title = "1 to 64 letters, digits, _ . -";
  name.autocomplete = "off";
  name.autocapitalize = "none";
  name.spellcheck = false;
  name.setAttribute("aria-label", "Project id");
  name.placeholder = "demo";
  const go = element("button", "", "Open");
  go.type = "submit";
  form.append(name, go);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = `#/${name.value}`;
  });
  panel.append(element("p", "", "Your token grants all projects. Which one?"), form);
  main.append(panel);
  name.focus();
}

function tabs(label, entries, current) {
  const nav = element("nav", "tabs");
  nav.setAttribute("aria-label", label);
  for (const [href, text] of entries) {
    const link = element("a", "", text);
    link.href = href;
    if (href === current) link.setAttribute("aria-current", "page");
    nav.append(link);
  }
  return nav;
}

function crumbs(project, widget) {
  const nav = element("nav", "crumbs");
  nav.setAttribute("aria-label", "Where you are");
  const projects = element("a", "", "Projects");
  projects.href = "#/";
  nav.append(projects, element("span", "", "/"));
  if (widget === null) return nav;
  const link = element("a", "", project);
  link.href = `#/${project}`;
  nav.append(link, element("span", "", "/"));
  return nav;
}

/** How many are connected to the channel, this console among them where a view listens to it. */
function connected(channel, view) {
  const line = element("p", "connected-now");
  const number = element("output");
  line.hidden = true; // until it is known
  line.append(number, LISTENING.has(view) ? " connected, you included" : " connected");
  ends.push(
    session.subscribe(
      CONNECTED,
      channel,
      ({ connectionCount }) => {
        number.textContent = connectionCount.count.toLocaleString();
        line.hidden = false;
      },
      (text) => text && (line.hidden = true),
    ),
  );
  return line;
}

function show() {
  leave();
  if (!session) {
    signIn();
    return;
  }
  const [project = "", widget = "", view = "messages"] = location.hash.slice(2).split("/");
  if (!ID.test(project)) {
    const { projects } = session.viewer;
    if (projects?.length === 1) location.replace(`#/${projects[0]}`);
    else chooseProject();
    return;
  }
  const head = element("div", "head");
  const place = element("section", "view");
  const open = (draw, ...more) => {
    const shown = draw(place, session, ...more);
    ends.push(shown.stop);
    setKeys(shown.keys);
  };
  if (ID.test(widget) && Object.hasOwn(VIEWS, view)) {
    const channel = { projectId: project, widgetId: widget };
    const at = `#/${project}/${widget}`;
    head.append(crumbs(project, widget), element("h1", "", widget), connected(channel, view));
    const links = Object.entries(VIEWS).map(([key, [text]]) => [`${at}/${key}`, text]);
    main.append(head, tabs("Views of the channel", links, `${at}/${view}`), place);
    place.setAttribute("aria-label", VIEWS[view][0]);
    open(VIEWS[view][1], channel);
  } else {
    const bans = widget === "~bans";
    head.append(crumbs(project, null), element("h1", "", project));
    const links = [
      [`#/${project}`, "Channels"],
      [`#/${project}/~bans`, "Bans"],
    ];
    main.append(head, tabs("Views of the project", links, links[bans ? 1 : 0][0]), place);
    place.setAttribute("aria-label", bans ? "Bans" : "Channels");
    open(bans ? showBans : showChannels, project);
  }
  document.title = `${ID.test(widget) ? `${widget} · ` : ""}${project} · Console`;
}

$('[data-do="out"]').addEventListener("click", signOut);
$('[data-do="keys"]').addEventListener("click", showKeys);
$('[data-do="token"]').addEventListener("click", () => askForToken(null, renew, signOut));
// Both links lead to a place within the page, and the address holds the view.
$(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", () => {
  show();
  // What had the focus is gone: the next Tab begins at the view.
  if (document.activeElement === document.body) main.focus({ preventScroll: true });
});

const token = kept();
if (token) {
  try {
    await enter(token, true);
  } catch (error) {
    signIn(error);
  }
} else signIn();
