/** What a channel's policy means for whoever publishes: its rules, and whether it is open now. */
const LONGEST_WAIT_MS = 60_000; // then the clock is read again: somebody may have set it

/** How many milliseconds the server's clock is ahead of this device's; asked once. */
let ahead;
const clock = () =>
  (ahead ??= fetch(new URL(import.meta.url), { method: "HEAD", cache: "no-store" }).then(
    ({ headers }) => Date.parse(headers.get("Date")) - Date.now() || 0,
    () => 0,
  ));

const at = (milliseconds) =>
  new Date(milliseconds).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

function reason({ writers, opensAt, closesAt }, now) {
  if (writers === "NOBODY") return "Closed by the host.";
  if (closesAt !== null && now >= closesAt) return `Closed since ${at(closesAt)}.`;
  if (opensAt !== null && now < opensAt) return `Opens ${at(opensAt)}.`;
  return "";
}

/** What to know before one publishes; "": nothing. */
export function rules({ hold, slowModeSeconds }) {
  const said = [];
  if (hold === "UNTIL_APPROVED") said.push("Appears when a moderator has approved it.");
  if (slowModeSeconds) said.push(`Slow mode: one every ${slowModeSeconds} s.`);
  return said.join(" ");
}

/** Follows the policy and the server's clock. */
export class Gate {
  #policy;
  #timer = 0;
  #changed;

  /** @param {(reason: string) => void} changed told why it is closed; "": it is open */
  constructor(changed) {
    this.#changed = changed;
  }

  async follow(policy) {
    this.#policy = policy;
    clearTimeout(this.#timer);
    const times = [policy.opensAt, policy.closesAt].filter((time) => time !== null);
    const now = Date.now() + (times.length ? await clock() : 0);
    if (policy !== this.#policy) return;
    this.#changed(reason(policy, now));
    const next = Math.min(...times.filter((time) => time > now));
    if (next === Infinity) return;
    this.#timer = setTimeout(() => this.follow(policy), Math.min(LONGEST_WAIT_MS, next - now));
  }
}
