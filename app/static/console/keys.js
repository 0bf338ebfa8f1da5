/** Keyboard shortcuts: one letter each, never while something is typed or a dialog is open. */
import { element } from "../demo/dom.js";
import { open } from "./dialog.js";

let current = {};

/** Sets the shortcuts of the view: `{ key: [what it does, function] }`. */
export function setKeys(keys) {
  current = keys;
}

const typing = (target) =>
  target instanceof HTMLElement &&
  (target.isContentEditable ||
    ["TEXTAREA", "SELECT"].includes(target.tagName) ||
    (target.tagName === "INPUT" && !["checkbox", "radio", "button"].includes(target.type)));

export function showKeys() {
  const list = element("dl", "keys");
  for (const [key, [said]] of Object.entries({ ...current, "?": ["show this list"] })) {
    const term = element("dt");
    term.append(element("kbd", "", key));
    list.append(term, element("dd", "", said));
  }
  open("Keyboard shortcuts", [list]);
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (typing(event.target) || document.querySelector("dialog[open]")) return;
  if (event.key === "?" && document.querySelector("#account:not([hidden])")) {
    event.preventDefault();
    showKeys();
    return;
  }
  const action = Object.hasOwn(current, event.key) ? current[event.key][1] : null;
  if (!action) return;
  event.preventDefault();
  action();
});
