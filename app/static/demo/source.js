/**
 * The code of a panel, as it runs: the very file that the page has loaded, to read and to copy.
 */
const TOKENS =
  /(?<comment>\/\*[\s\S]*?\*\/|\/\/[^\n]*|<!--[\s\S]*?-->)|(?<string>`[^`]*`|"[^"\n]*")|(?<word>\b(?:import|export|from|function|class|constructor|const|let|return|new|if|else|for|of|await|async|this|null|true|false)\b)|(?<number>\b\d[\d_]*\b)/g;

/** Writes `text` into `target` with its tokens marked; everything goes in as text. */
function paint(target, text) {
  let from = 0;
  for (const match of text.matchAll(TOKENS)) {
    target.append(text.slice(from, match.index));
    const kind = Object.keys(match.groups).find((name) => match.groups[name] !== undefined);
    const mark = document.createElement("span");
    mark.className = `t-${kind}`;
    mark.textContent = match[0];
    target.append(mark);
    from = match.index + match[0].length;
  }
  target.append(text.slice(from));
}

async function copy(text, area) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No clipboard over plain HTTP from another machine: select it, so that one key copies.
    getSelection().selectAllChildren(area);
    return false;
  }
}

function block(title, load) {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  const name = document.createElement("span");
  const button = document.createElement("button");
  const area = document.createElement("pre");
  const code = document.createElement("code");
  name.textContent = title;
  button.type = "button";
  button.className = "small";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${title}`);
  area.tabIndex = 0;
  area.setAttribute("aria-label", title);
  area.append(code);
  caption.append(name, button);
  figure.append(caption, area);
  let text = "";
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text, code)) ? "Copied" : "Selected";
    setTimeout(() => (button.textContent = "Copy"), 2_000);
  });
  load().then(
    (loaded) => paint(code, (text = loaded)),
    () => (code.textContent = "The file could not be loaded."),
  );
  return figure;
}

async function file(name) {
  const response = await fetch(new URL(name, import.meta.url));
  if (!response.ok) throw new Error(response.statusText);
  return response.text();
}

/**
 * Fills `holder` with a folded view of the files it names.
 *
 * @param {HTMLElement} holder has `data-code`: names of files beside this one, with spaces between.
 * @param {Array<{title: string, text: string}>} first what to show above the files.
 */
export function showSource(holder, first = []) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = "The code of this widget";
  details.append(summary);
  // Loaded when it is first opened: most visitors only want to play.
  details.addEventListener(
    "toggle",
    () => {
      for (const { title, text } of first) details.append(block(title, async () => text));
      for (const name of holder.dataset.code.split(" "))
        details.append(block(name, () => file(name)));
    },
    { once: true },
  );
  holder.append(details);
}
