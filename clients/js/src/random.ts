/** An id that nobody else has. */
export const randomId = (): string =>
  // crypto.randomUUID exists in secure contexts only.
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
