/**
 * A list of messages: bounded, walked through with j and k, selected with x or the boxes.
 */
import { avatar, button, element } from "../demo/dom.js";
import { badge, content, count, nameOf, time } from "./format.js";

export const MOST_ROWS = 300;

export class Rows {
  #items = new Map(); // id → { message, row, box }
  #bulk;
  #chosen;
  #all;
  #actions;
  #empty;
  #changed;

  /**
   * @param {string} label of the list
   * @param {string} empty what to say when there are none
   * @param {Array<{text: string, act: (messages) => void, danger?: boolean, single?: boolean,
   *   label?: string}>} actions on messages; those that are `single` are on the rows only; `label`
   *   stands before the publisher's name in what a screen reader says
   * @param {() => void} [changed] told when the selection or the focus changed
   */
  constructor({ label, empty, actions, changed = () => {} }) {
    this.#actions = actions;
    this.#changed = changed;
    this.element = element("div", "rows-holder");
    this.list = element("ol", "rows");
    this.list.setAttribute("aria-label", label);
    this.#empty = element("p", "empty-note", empty);
    this.#bulk = element("div", "bulk");
    this.#all = button("small", "Select all", () => this.#selectAll());
    this.#chosen = element("span", "chosen");
    this.#chosen.setAttribute("role", "status");
    this.#bulk.append(this.#all, this.#chosen);
    for (const action of actions.filter(({ single }) => !single)) {
      const made = button(`small needs ${action.danger ? "danger" : ""}`, action.text, () =>
        action.act(this.selected()),
      );
      this.#bulk.append(made);
    }
    this.list.addEventListener("change", ({ target }) => {
      target.closest(".row").classList.toggle("selected", target.checked);
      this.#draw();
    });
    this.list.addEventListener("focusin", ({ target }) => {
      this.#rove(target.closest(".row"));
      this.#changed();
    });
    this.list.addEventListener("focusout", () => setTimeout(() => this.#changed()));
    this.element.append(this.#bulk, this.list, this.#empty);
    this.#draw();
  }

  get size() {
    return this.#items.size;
  }

  /** Whether somebody is at work on the rows, which should not move under their hands. */
  get busy() {
    return this.selected().length > 0 || this.list.contains(document.activeElement);
  }

  has(id) {
    return this.#items.has(id);
  }

  ids() {
    return [...this.#items.keys()];
  }

  selected() {
    return [...this.#items.values()].filter(({ box }) => box.checked).map(({ message }) => message);
  }

  /** What a shortcut is about: the selected messages, else the one that has the focus. */
  targets() {
    const selected = this.selected();
    if (selected.length) return selected;
    const found = this.#items.get(document.activeElement?.closest?.(".row")?.dataset.id);
    return found ? [found.message] : [];
  }

  /** Adds a message at the top or the bottom; one that is there already stays as it is. */
  add(message, top) {
    if (this.#items.has(message.id)) return;
    const row = this.#row(message);
    if (top) this.list.prepend(row);
    else this.list.append(row);
    this.#items.set(message.id, { message, row, box: row.querySelector("input") });
    if (this.#items.size === 1) row.tabIndex = 0;
    this.#draw();
  }

  /** Removes rows from the top or the bottom until at most `MOST_ROWS` are left; tells whether. */
  trim(top) {
    const over = this.#items.size - MOST_ROWS;
    for (let left = over; left > 0; left--)
      this.remove(this.list[top ? "firstElementChild" : "lastElementChild"].dataset.id);
    return over > 0;
  }

  remove(id) {
    const found = this.#items.get(id);
    if (!found) return false;
    const { row } = found;
    const next = row.nextElementSibling ?? row.previousElementSibling;
    const focused = row.contains(document.activeElement);
    const current = row.tabIndex === 0;
    this.#items.delete(id);
    row.remove();
    if (focused && next) next.focus();
    else if (current && next) next.tabIndex = 0;
    this.#draw();
    return true;
  }

  clear() {
    this.#items.clear();
    this.list.replaceChildren();
    this.#draw();
  }

  unselect() {
    for (const { box, row } of this.#items.values()) {
      box.checked = false;
      row.classList.remove("selected");
    }
    this.#draw();
  }

  /** The shortcuts that every list has. */
  keys() {
    return {
      j: ["next message", () => this.#move("nextElementSibling", "firstElementChild")],
      k: ["previous message", () => this.#move("previousElementSibling", "lastElementChild")],
      x: ["select or unselect the message", () => this.#toggle()],
      Escape: [
        "unselect all, leave the list",
        () => {
          this.unselect();
          document.activeElement?.blur();
        },
      ],
    };
  }

  #move(step, start) {
    const current = document.activeElement?.closest?.(".row");
    const next = current ? current[step] : this.list[start];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  }

  #toggle() {
    const found = this.#items.get(document.activeElement?.closest?.(".row")?.dataset.id);
    if (!found) return;
    found.box.checked = !found.box.checked;
    found.row.classList.toggle("selected", found.box.checked);
    this.#draw();
  }

  #selectAll() {
    const all = this.selected().length < this.#items.size;
    for (const { box, row } of this.#items.values()) {
      box.checked = all;
      row.classList.toggle("selected", all);
    }
    this.#draw();
  }

  #rove(row) {
    if (!row) return;
    for (const other of this.list.querySelectorAll('[tabindex="0"].row')) other.tabIndex = -1;
    row.tabIndex = 0;
  }

  #draw() {
    const selected = this.selected().length;
    this.#empty.hidden = this.#items.size > 0;
    this.#bulk.hidden = !this.#items.size;
    this.#chosen.textContent = selected ? `${count(selected, "message")} selected` : "";
    this.#all.textContent =
      selected && selected === this.#items.size ? "Unselect all" : "Select all";
    for (const made of this.#bulk.querySelectorAll(".needs")) made.hidden = !selected;
    this.#changed();
  }

  #row(message) {
    const name = nameOf(message);
    const row = element("li", "row");
    row.dataset.id = message.id;
    row.tabIndex = -1;
    const box = element("input");
    box.type = "checkbox";
    box.setAttribute("aria-label", `Select the message of ${name}`);
    const head = element("p", "row-head");
    head.append(element("strong", message.username ? "" : "client", name), time(message.created));
    if (message.verified)
      head.append(badge("verified", "Proven by a token or a signed client id", "good"));
    if (!message.persistent) head.append(badge("not stored", "Delivered live only"));
    const body = element("div", "row-body");
    body.append(head, content(message.data));
    const actions = element("div", "row-actions");
    for (const { text, act, danger, label = "the message of " } of this.#actions) {
      const made = button(`small ${danger ? "danger" : ""}`, text, () => act([message]));
      made.setAttribute("aria-label", `${text.replace("…", "")} ${label}${name}`);
      actions.append(made);
    }
    row.append(box, avatar(name), body, actions);
    return row;
  }
}
