export function openPoll(client) {
  const poll = client.channel("poll");
  const status = document.querySelector("[role=status]");
  const buttons = new Map();

  for (const choice of ["Forest", "Harbour", "Mountain"]) {
    const button = document.createElement("button");
    button.append(choice, document.createElement("span"));
    button.onclick = () => vote(choice);
    buttons.set(choice, button);
    document.querySelector("#choices").append(button);
  }

  // One vote a person: a second one takes the place of the first. Offline, it waits.
  async function vote(choice) {
    for (const [one, button] of buttons) button.ariaPressed = String(one === choice);
    try {
      await poll.vote(choice);
    } catch (error) {
      status.textContent = error.message;
    }
  }

  poll.live({ groupBy: "data.choice", limit: 10 }).subscribe(({ groups }) => {
    const counts = new Map(groups.map(({ key, count }) => [key, count]));
    for (const [choice, button] of buttons) button.lastChild.textContent = counts.get(choice) ?? 0;
  });
  client.onStatus(({ state }) => (status.textContent = state === "online" ? "" : state));
}
