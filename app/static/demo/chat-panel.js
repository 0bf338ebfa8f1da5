/** The chat as it is drawn: the log, what is not sent yet, the form. */
import { openChat } from "./chat.js";
import { $, avatar, button, element, text } from "./dom.js";
import { Panel } from "./panel.js";

const MOST_MESSAGES = 100;
const SENT_SOON_MS = 400; // until then a message on its way is not worth showing
const NAME = "widgetwire.name";

const nameOf = ({ username, data }) => username || (data?.name ? text(data.name) : "Someone");

function remembered() {
  const given = `Guest ${100 + Math.floor(Math.random() * 900)}`;
  try {
    return localStorage.getItem(NAME) ?? given;
  } catch {
    return given;
  }
}

function remember(name) {
  try {
    localStorage.setItem(NAME, name);
  } catch {
    // Storage is off: the name lasts as long as the page.
  }
}

/** Returns what gives the visitor's name. */
export function drawChat(channel) {
  const panel = new Panel("chat", "Your message will be sent when the connection is back.");
  const log = $(".log", panel.within);
  const outbox = $(".outbox", panel.within);
  const form = $("form", panel.within);
  const shown = new Map();
  const gone = new Set(); // retracted; a search may still bring them
  form.elements.name.value = remembered();
  const me = () => form.elements.name.value.trim() || "Someone";

  const retractButton = (message, said) => {
    const made = button("small", "Retract", async () => {
      made.disabled = true;
      try {
        await panel.follow(retract(message.id));
        remove([message.id]);
        log.focus();
      } catch {
        made.disabled = false;
      }
    });
    made.setAttribute("aria-label", `Retract “${said}”`);
    return made;
  };

  const show = (message) => {
    if (shown.has(message.id) || gone.has(message.id)) return;
    const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    const name = nameOf(message);
    const said = text(message.data?.text ?? message.data);
    const item = element("li");
    const head = element("p", "who");
    const when = new Date(message.created);
    const time = element("time", "", when.toLocaleTimeString([], { timeStyle: "short" }));
    time.dateTime = when.toISOString();
    head.append(element("strong", "", name), time);
    if (isMine(message)) head.append(retractButton(message, said));
    const body = element("div");
    body.append(head, element("p", "said", said));
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

  const remove = (ids) => {
    for (const id of ids) {
      gone.add(id);
      shown.get(id)?.remove();
      shown.delete(id);
    }
    for (const id of gone) if (gone.size > MOST_MESSAGES) gone.delete(id);
  };

  const history = (messages) => {
    messages.forEach(show);
    // Read out from here on: what is new, not all that was said before.
    log.setAttribute("aria-live", "polite");
  };

  const { say, retract, isMine } = openChat(channel, {
    history,
    show,
    remove,
    ...panel.callbacks,
  });

  /** Nothing typed is lost: what is not sent stays, to be sent again or thrown away. */
  const send = async (name, said) => {
    const item = element("li");
    const fate = element("p", "fate", "Not sent yet");
    const body = element("div");
    body.append(element("p", "said", said), fate);
    item.append(body);
    const soon = setTimeout(() => outbox.append(item), panel.offline ? 0 : SENT_SOON_MS);
    try {
      await panel.follow(say(name, said));
      item.remove();
    } catch (error) {
      fate.textContent = `Not sent: ${error.message}`;
      const again = button("small", "Send again", () => {
        item.remove();
        send(name, said);
      });
      const drop = button("small", "Discard", () => {
        item.remove();
        form.elements.text.focus();
      });
      fate.append(" ", again, " ", drop);
      outbox.append(item);
    } finally {
      clearTimeout(soon);
    }
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const field = form.elements.text;
    const said = field.value.trim();
    if (!said) return;
    field.value = "";
    remember(me());
    send(me(), said);
  });
  return me;
}
