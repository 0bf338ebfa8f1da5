/** The filters of a search: rows of field, operator and value; JSON for those who need more. */
import { button, element } from "../demo/dom.js";
import { field, input, select } from "./dialog.js";

const OPERATORS = [
  ["EQ", "equals"],
  ["NEQ", "does not equal"],
  ["CONTAINS", "contains"],
  ["STARTS_WITH", "starts with"],
  ["ENDS_WITH", "ends with"],
  ["GT", "is greater than"],
  ["GTE", "is at least"],
  ["LT", "is less than"],
  ["LTE", "is at most"],
  ["IN", "is one of"],
  ["NOT_IN", "is none of"],
  ["EXISTS", "exists"],
];
const TEXTS = new Set(["id", "client_id", "clientId", "username"]);
const MOST_ROWS = 20;
let forms = 0;

function scalar(name, said) {
  if (TEXTS.has(name)) return said;
  if (name === "created" && !/^\d+$/.test(said) && !Number.isNaN(Date.parse(said)))
    return Date.parse(said);
  try {
    return JSON.parse(said);
  } catch {
    return said;
  }
}

/** The value as JSON: 55 is a number, true a boolean, and what is no JSON is text. */
function valueOf(name, operator, said) {
  if (operator === "EXISTS") return said !== "false";
  if (operator !== "IN" && operator !== "NOT_IN") return scalar(name, said);
  if (said.trim().startsWith("[")) return JSON.parse(said);
  return said.split(",").map((one) => scalar(name, one.trim()));
}

export class Filters {
  #rows;
  #expert;
  #json;
  #error;
  #add;
  #suggested;
  #go;
  #clear;
  #search;

  /**
   * @param {((filters: Array) => void) | null} search called with what is to be searched for;
   *   null: whoever needs the filters asks for them, with `read`
   */
  constructor(search = null) {
    this.#search = search;
    const id = `fields-${++forms}`;
    this.element = element("form", "filters");
    this.element.setAttribute("role", search ? "search" : "group");
    this.element.setAttribute("aria-label", search ? "Search" : "Filters");
    this.#suggested = element("datalist");
    this.#suggested.id = id;
    this.#rows = element("div", "filter-rows");
    this.#json = input("json", { rows: "4", spellcheck: "false" }, "textarea");
    this.#json.placeholder =
      '[{"or": [{"field": "data.score", "operator": "GT", "value": 55}, …]}]';
    this.#expert = field("Filters as JSON (a list of MessageFilter)", this.#json);
    this.#expert.hidden = true;
    this.#error = element("p", "state");
    this.#error.setAttribute("role", "alert");
    const actions = element("div", "filter-actions");
    const go = (this.#go = element("button", "small primary", "Search"));
    go.type = "submit";
    this.#add = button("small", "Add filter", () => this.#addRow().querySelector("input").focus());
    const swap = button("small", "JSON", () => {
      const expert = this.#expert.hidden;
      if (expert) this.#json.value = JSON.stringify(this.read() ?? [], null, 1);
      this.#expert.hidden = !expert;
      this.#rows.hidden = this.#add.hidden = expert;
      swap.setAttribute("aria-pressed", String(expert));
      this.#offer();
    });
    swap.setAttribute("aria-pressed", "false");
    const clear = (this.#clear = button("small", "Clear", () => {
      this.#rows.replaceChildren();
      this.#json.value = "[]";
      this.#submit();
      this.#offer();
    }));
    actions.append(this.#add, swap, go, clear);
    this.element.append(this.#suggested, this.#rows, this.#expert, this.#error, actions);
    this.#offer();
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  /** Offers the fields that messages have. */
  suggest(fields) {
    this.#suggested.replaceChildren(...fields.map((name) => new Option(name, name)));
  }

  focus() {
    const first = this.#rows.querySelector("input") ?? this.#addRow().querySelector("input");
    (this.#expert.hidden ? first : this.#json).focus();
  }

  /** Shows why the server does not take them; "": it does. */
  refuse(said) {
    this.#error.textContent = said;
  }

  /** Without a filter there is nothing to search for or to clear. */
  #offer() {
    const none = this.#expert.hidden && !this.#rows.children.length;
    this.#clear.hidden = none;
    this.#go.hidden = none || !this.#search;
  }

  #submit() {
    const filters = this.read();
    if (filters) this.#search?.(filters);
  }

  /** Returns the filters, or null after saying why they are none. */
  read() {
    this.refuse("");
    try {
      if (!this.#expert.hidden) {
        const filters = JSON.parse(this.#json.value || "[]");
        if (!Array.isArray(filters)) throw new Error("expected a list");
        return filters;
      }
      return [...this.#rows.children]
        .map((row) => [...row.querySelectorAll("input, select")].map(({ value }) => value))
        .filter(([name]) => name.trim())
        .map(([name, operator, said]) => ({
          field: name.trim(),
          operator,
          value: valueOf(name.trim(), operator, said),
        }));
    } catch (error) {
      this.refuse(`This is no JSON: ${error.message}`);
      return null;
    }
  }

  #addRow() {
    const row = element("div", "filter-row");
    const name = input("field", {
      list: this.#suggested.id,
      placeholder: "data.text",
      "aria-label": "Field",
      spellcheck: "false",
      autocapitalize: "none",
    });
    const operator = select("operator", OPERATORS);
    operator.setAttribute("aria-label", "Operator");
    const value = input("value", { placeholder: "value", "aria-label": "Value" });
    const drop = button("small", "×", () => {
      row.remove();
      this.#add.disabled = false;
      this.#add.focus();
      if (!this.#rows.children.length) this.#submit();
      this.#offer();
    });
    drop.setAttribute("aria-label", "Remove this filter");
    row.append(name, operator, value, drop);
    this.#rows.append(row);
    this.#add.disabled = this.#rows.children.length >= MOST_ROWS;
    this.#offer();
    return row;
  }
}

/** The paths below `data` that a message has, for suggestions. */
export function pathsOf(data, path = "data", depth = 0) {
  if (data === null || typeof data !== "object" || Array.isArray(data) || depth > 3) return [path];
  return Object.entries(data)
    .filter(([key]) => /^[\w-]{1,64}$/.test(key))
    .slice(0, 30)
    .flatMap(([key, value]) => pathsOf(value, `${path}.${key}`, depth + 1));
}
