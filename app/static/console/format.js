/** Messages, times and numbers as text. Nothing that a message contains becomes markup. */
import { button, element, text } from "../demo/dom.js";

const FOLDED_CHARACTERS = 240;
const FOLDED_FIELD_CHARACTERS = 120; // of one field among several
const SHOWN_CHARACTERS = 20_000;
const MOST_FIELDS = 8;

export const count = (number, one, many = `${one}s`) =>
  `${number.toLocaleString()} ${number === 1 ? one : many}`;

export const nameOf = ({ username, clientId }) => username ?? clientId;

const sameDay = (one, other) => one.toDateString() === other.toDateString();

export function time(milliseconds) {
  const when = new Date(milliseconds);
  const made = element("time");
  made.dateTime = when.toISOString();
  made.title = when.toLocaleString();
  made.textContent = sameDay(when, new Date())
    ? when.toLocaleTimeString([], { timeStyle: "medium" })
    : when.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  return made;
}

const cut = (said, most) => (said.length > most ? `${said.slice(0, most)}…` : said);

function summary(data) {
  const made = element("p", "data");
  if (data === null || typeof data !== "object" || Array.isArray(data)) {
    made.append(cut(text(data), FOLDED_CHARACTERS));
    return made;
  }
  let room = FOLDED_CHARACTERS;
  const fields = Object.entries(data);
  for (const [key, value] of fields.slice(0, MOST_FIELDS)) {
    const most = fields.length > 1 ? FOLDED_FIELD_CHARACTERS : FOLDED_CHARACTERS;
    const said = cut(text(value), Math.min(most, Math.max(20, room)));
    room -= said.length + key.length;
    const pair = element("span", "pair");
    pair.append(element("span", "key", cut(key, 60)), " ", element("span", "value", said));
    made.append(pair, " ");
    if (room <= 0) break;
  }
  if (!fields.length) made.append("{}");
  return made;
}

/** A message's data: short, and as a whole at the press of a button if it is long. */
export function content(data) {
  const made = element("div", "content");
  made.append(summary(data));
  const whole = JSON.stringify(data, null, 2);
  const nested =
    data !== null &&
    typeof data === "object" &&
    (Array.isArray(data) ||
      Object.keys(data).length > MOST_FIELDS ||
      Object.values(data).some((value) => value !== null && typeof value === "object"));
  if (whole.length <= FOLDED_CHARACTERS && !nested) return made;
  const toggle = button("fold", "Show all", () => {
    const opened = made.querySelector("pre");
    if (opened) opened.remove();
    else {
      const area = element("pre", "", cut(whole, SHOWN_CHARACTERS));
      area.tabIndex = 0;
      area.setAttribute("aria-label", "The whole data");
      made.append(area);
    }
    toggle.textContent = opened ? "Show all" : "Show less";
    toggle.setAttribute("aria-expanded", String(!opened));
  });
  toggle.setAttribute("aria-expanded", "false");
  made.append(toggle);
  return made;
}

export function badge(said, title, kind = "") {
  const made = element("span", `badge ${kind}`, said);
  made.title = title;
  return made;
}

/** The value of a datetime-local control, in this device's time zone; "" for null. */
export function localTime(milliseconds) {
  if (milliseconds === null) return "";
  const when = new Date(milliseconds);
  const shifted = new Date(milliseconds - when.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 19);
}
