/** Small things that the panels draw with. What comes from a message is text, never markup. */

export const $ = (selector, within = document) => within.querySelector(selector);

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function button(className, text, act) {
  const made = element("button", className, text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

export const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** A different colour for each name, the same in every window. */
function hue(name) {
  let sum = 0;
  for (const char of name) sum = (sum * 31 + char.codePointAt(0)) % 360;
  return sum;
}

export function avatar(name) {
  const face = element("span", "avatar", [...name][0]?.toUpperCase());
  face.setAttribute("aria-hidden", "true");
  face.style.setProperty("--hue", hue(name));
  return face;
}
