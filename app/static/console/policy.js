/** The rules for publishing to a channel: all fields, each with what the server says of it. */
import { button, element } from "../demo/dom.js";
import { described, field, input, select, toast } from "./dialog.js";
import { POLICY, POLICY_CHANGES, SET_POLICY } from "./documents.js";
import { localTime } from "./format.js";

const number = (least, most) => ({
  control: (name) => input(name, { type: "number", min: least, max: most, step: "1" }),
  read: (said) => (said === "" ? null : Number(said)),
  write: (value) => value ?? "",
});
const moment = {
  control: (name) => input(name, { type: "datetime-local", step: "1" }),
  read: (said) => (said === "" ? null : new Date(said).getTime()),
  write: localTime,
};
const lines = {
  control: (name) => input(name, { rows: "4", spellcheck: "false" }, "textarea"),
  read: (said) => said.split("\n").map((word) => word.trim()).filter(Boolean),
  write: (words) => words.join("\n"),
};
const json = {
  control: (name) => input(name, { rows: "8", spellcheck: "false", class: "code" }, "textarea"),
  read: (said) => {
    if (!said.trim()) return null;
    try {
      return JSON.parse(said);
    } catch (error) {
      throw new Error(`This is no JSON: ${error.message}`);
    }
  },
  write: (value) => (value === null ? "" : JSON.stringify(value, null, 2)),
};
const choice = (options) => ({
  control: (name) => select(name, options),
  read: (said) => said,
  write: (value) => value,
});

const EDITORS = {
  writers: {
    label: "Writers",
    hint: "Who may publish.",
    ...choice([
      ["EVERYONE", "Everyone"],
      ["VERIFIED", "Verified: with a token or a signed client id"],
      ["NOBODY", "Nobody: the channel is closed"],
    ]),
  },
  hold: {
    label: "Review",
    hint: "Whether messages wait for a moderator.",
    ...choice([
      ["NONE", "Messages appear at once"],
      ["UNTIL_APPROVED", "Messages wait until approved"],
    ]),
  },
  slowModeSeconds: {
    label: "Slow mode (seconds)",
    hint: "Between two messages of one publisher; 0: none.",
    ...number(0, 86_400),
    read: (said) => Number(said),
  },
  maxPublishesPerSecond: {
    label: "Messages per second",
    hint: "Of the whole channel; empty: no limit.",
    ...number(1, 100_000),
  },
  opensAt: { label: "Opens at", hint: "Your time zone; empty: it is open.", ...moment },
  closesAt: { label: "Closes at", hint: "Your time zone; empty: it stays open.", ...moment },
  retentionSeconds: {
    label: "Delete messages after (seconds)",
    hint: "60 or more; a day has 86400. Empty: the server's setting.",
    ...number(60, 315_360_000),
  },
  blockedWords: {
    label: "Blocked words",
    hint: "One a line, at most 500. Whole words; case and accents do not matter.",
    ...lines,
  },
  dataSchema: {
    label: "JSON Schema for data",
    hint: "Draft 2020-12, at most 32 KiB; empty: any data.",
    ...json,
  },
};

/** The field that an error is about, by the name that its text begins with or points at. */
function fieldOf(message) {
  const named = /^(\w+)|'policy\.(\w+)/g;
  for (const [, first, pointed] of message.matchAll(named)) {
    const name = pointed ?? first;
    if (Object.hasOwn(EDITORS, name)) return name;
  }
  return null;
}

export function showPolicy(place, session, channel) {
  let known = null;
  let ended = false;
  const controls = new Map();
  const errors = new Map();
  const form = element("form", "policy");
  form.noValidate = true; // the server says what is wrong, in its words
  const grid = element("div", "policy-fields");
  for (const [name, { label, hint, control }] of Object.entries(EDITORS)) {
    const made = control(name);
    const wrong = element("span", "state");
    wrong.id = `wrong-${name}`;
    wrong.setAttribute("role", "alert");
    made.setAttribute("aria-describedby", wrong.id);
    const holder = field(label, made, hint);
    holder.append(wrong);
    if (made.tagName === "TEXTAREA") holder.classList.add("wide");
    grid.append(holder);
    controls.set(name, made);
    errors.set(name, wrong);
  }
  const status = element("p", "state");
  status.setAttribute("role", "status");
  const save = element("button", "", "Save");
  save.type = "submit";
  const reset = button("small", "Discard changes", () => draw(known));
  const actions = element("div", "actions");
  actions.append(reset, save);
  const fieldset = element("fieldset");
  fieldset.disabled = true;
  fieldset.append(grid, status, actions);
  form.append(fieldset);
  place.append(form);

  function refuse(name, text) {
    errors.get(name).textContent = text;
    controls.get(name).setAttribute("aria-invalid", "true");
  }

  function calm() {
    status.textContent = "";
    for (const [name, wrong] of errors) {
      wrong.textContent = "";
      controls.get(name).removeAttribute("aria-invalid");
    }
  }

  const written = (name, policy) => String(EDITORS[name].write(policy[name]));
  const dirty = () =>
    [...controls].filter(([name, { value }]) => known && value !== written(name, known));

  function mark() {
    const changed = dirty();
    save.disabled = reset.disabled = !changed.length;
    for (const [name, made] of controls)
      made.closest(".field").classList.toggle("dirty", changed.some(([one]) => one === name));
  }

  function draw(policy) {
    known = policy;
    for (const [name, made] of controls) made.value = written(name, policy);
    fieldset.disabled = false;
    calm();
    mark();
  }
  form.addEventListener("input", mark);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    calm();
    const policy = {};
    for (const [name, { value, validity }] of dirty())
      try {
        if (validity.badInput) throw new Error("Enter a number or a time.");
        policy[name] = EDITORS[name].read(value);
      } catch (error) {
        refuse(name, error.message);
        controls.get(name).focus();
        return;
      }
    if (!Object.keys(policy).length) return;
    save.disabled = true;
    try {
      draw((await session.ask(SET_POLICY, { ...channel, policy })).setChannelPolicy);
      toast("The policy is saved. It holds everywhere within a second.");
    } catch (error) {
      const name = fieldOf(error.message);
      if (name) {
        refuse(name, described(error));
        controls.get(name).focus();
      } else status.textContent = described(error);
      save.disabled = false;
    }
  });

  const load = async () => {
    try {
      const { channelPolicy } = await session.ask(POLICY, channel);
      if (!ended) draw(channelPolicy);
    } catch (error) {
      if (!ended) status.textContent = described(error);
    }
  };
  load();
  const stop = session.subscribe(
    POLICY_CHANGES,
    channel,
    ({ channelEvents: { policy } }) => {
      if (!policy || JSON.stringify(policy) === JSON.stringify(known)) return;
      if (!dirty().length) {
        draw(policy);
        return;
      }
      known = policy;
      mark();
      status.textContent = "Somebody else has changed the policy. Your changes are not saved yet.";
    },
    (text, code) => (status.textContent = text && code ? `${text} (${code})` : text),
  );
  return {
    stop: () => {
      ended = true;
      stop();
    },
    keys: {},
  };
}
