/** Modal dialogs: the browser keeps the focus inside, and Escape closes them. */
import { button, element } from "../demo/dom.js";

/** The form's field with its label, and an optional hint below. */
export function field(label, control, hint) {
  const made = element("label", "field");
  made.append(element("span", "", label), control);
  if (hint) made.append(element("small", "", hint));
  return made;
}

export function input(name, attributes = {}, tag = "input") {
  const made = document.createElement(tag);
  made.name = name;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (tag !== "select" && made.type !== "checkbox") made.autocomplete = "off";
  return made;
}

export function select(name, options) {
  const made = input(name, {}, "select");
  for (const [value, text] of options) made.append(new Option(text, value));
  return made;
}

/**
 * Opens a dialog and resolves with what `act` returns, or undefined if it was cancelled.
 *
 * @param title its heading
 * @param {Array<Node | string>} content strings become paragraphs
 * @param act called with the form's elements; a Problem that it raises is shown, and the dialog
 *   stays. Without it the dialog only tells something.
 * @param confirm the text of the button that acts
 * @param final there is no way back without acting
 */
export function open(title, content, { act, confirm = "OK", danger = false, final = false } = {}) {
  const dialog = element("dialog", "dialog");
  const form = element("form");
  const heading = element("h2", "", title);
  heading.id = `dialog-${Math.random().toString(36).slice(2)}`;
  dialog.setAttribute("aria-labelledby", heading.id);
  const said = element("p", "state");
  said.setAttribute("role", "alert");
  const actions = element("div", "actions");
  let result;
  if (!final) actions.append(button("small", act ? "Cancel" : "Close", () => dialog.close()));
  if (act) {
    const yes = element("button", danger ? "danger" : "", confirm);
    yes.type = "submit";
    actions.append(yes);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      yes.disabled = true;
      said.textContent = "";
      try {
        result = await act(form.elements);
        dialog.close();
      } catch (error) {
        said.textContent = described(error);
      } finally {
        yes.disabled = false;
      }
    });
  }
  const parts = content.map((one) => (typeof one === "string" ? element("p", "", one) : one));
  form.append(heading, ...parts, said, actions);
  dialog.append(form);
  dialog.addEventListener("cancel", (event) => final && event.preventDefault());
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      // Chromium closes at a second Escape whatever the page says.
      if (final && result === undefined)
        open(title, content, { act, confirm, danger, final }).then(resolve);
      else resolve(result);
    });
    dialog.showModal();
    (form.querySelector("input, textarea, select") ?? form.querySelector("button")).focus();
  });
}

/** What to say of an error: its text, and the code that documents explain. */
export function described(error) {
  const wait = error.retryAfterMs ? ` Retry in ${Math.ceil(error.retryAfterMs / 1000)} s.` : "";
  return `${error.message}${wait}${error.code ? ` (${error.code})` : ""}`;
}

const TOAST_MS = 6_000;
const MOST_TOASTS = 3;

/** Says for some seconds what was done or went wrong. */
export function toast(text, wrong = false) {
  const list = document.getElementById("toasts");
  const made = element("p", wrong ? "toast wrong" : "toast", text);
  list.append(made);
  while (list.children.length > MOST_TOASTS) list.firstElementChild.remove();
  setTimeout(() => made.remove(), TOAST_MS);
}

/** Does something and says how it went; resolves with false if it failed. */
export async function attempt(doing, done) {
  try {
    const result = await doing();
    if (done) toast(typeof done === "function" ? done(result) : done);
    return true;
  } catch (error) {
    toast(described(error), true);
    return false;
  }
}
