/** Signing in with a token, and a new one while the console is open. */
import { button, element } from "../demo/dom.js";
import { described, field, input, open } from "./dialog.js";

const COMMAND =
  "widgetwire token --sub NAME " +
  "--permission moderate --permission subscribe --permission search";

function tokenField() {
  const made = input("token", { rows: "3", required: "", spellcheck: "false" }, "textarea");
  made.className = "token";
  made.autocapitalize = "none";
  return made;
}

/** Draws the form into `place`; `enter(token, keeps)` raises what is wrong with the token. */
export function showSignIn(place, enter, problem = null) {
  const form = element("form", "panel sign-in");
  const token = tokenField();
  const keep = input("keep", { type: "checkbox" });
  const kept = element("label", "check");
  kept.append(keep, " Keep me signed in until this tab is closed");
  const status = element("p", "state");
  status.setAttribute("role", "alert");
  if (problem) status.textContent = described(problem);
  const go = element("button", "", "Sign in");
  go.type = "submit";
  const hint = element("p", "hint");
  hint.append(
    "Ask whoever runs this server for one, or make it there: ",
    element("code", "", COMMAND),
  );
  form.append(
    element("h1", "", "Sign in"),
    element("p", "", "The console needs a token that grants moderate or admin."),
    field("Token", token),
    kept,
    status,
    go,
    hint,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    status.textContent = "";
    try {
      await enter(token.value.trim(), keep.checked);
    } catch (error) {
      status.textContent = described(error);
      token.focus();
    } finally {
      go.disabled = false;
    }
  });
  place.append(form);
  token.focus();
}

/**
 * Asks for a new token until one is good; what is on the screen stays.
 *
 * @param {string | null} reason why it has to be; null: the user may cancel
 */
export function askForToken(reason, renew, signOut) {
  const token = tokenField();
  return open(
    "New token",
    [
      reason === null
        ? "The console goes on with it, without a break."
        : `The server does not take the token any more: ${reason}`,
      field("Token", token),
      ...(reason === null ? [] : [button("small", "Sign out", signOut)]),
    ],
    {
      confirm: "Go on",
      final: reason !== null,
      act: async () => {
        await renew(token.value.trim());
        return true;
      },
    },
  );
}
