/** How long to wait: for a new connection, or before something is tried again. */

const FIRST_MS = 500;
const MOST_MS = 30_000;
// Longer ones overflow a timer.
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const nothing = (): void => {};

/** Milliseconds before attempt `attempt` (from 0): doubled each time up to 30 s, and jittered. */
export const backoff = (attempt: number): number =>
  Math.min(MOST_MS, FIRST_MS * 2 ** attempt) * (0.5 + Math.random() / 2);

/** `setTimeout`, cut to what a timer can; returns what stops it. */
export function after(milliseconds: number, call: () => void): () => void {
  const timer = setTimeout(call, Math.min(milliseconds, LONGEST_TIMER_MS));
  return () => clearTimeout(timer);
}
