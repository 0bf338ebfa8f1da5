/** The leaderboard as it is drawn: the five best players, and a die to become one. */
import { $, avatar, element, text } from "./dom.js";
import { openLeaderboard } from "./leaderboard.js";
import { Panel } from "./panel.js";

/** @param {() => string} me gives the visitor's name */
export function drawLeaderboard(client, channel, me) {
  const panel = new Panel("leaderboard", "Your roll will be sent when the connection is back.");

  const show = (groups) =>
    $(".ranks", panel.within).replaceChildren(
      ...groups.map(({ key, aggregate }) => {
        const name = text(key);
        const item = element("li");
        item.append(
          avatar(name),
          element("span", "label", name),
          element("strong", "count", text(aggregate.max)),
        );
        return item;
      }),
    );

  const { post } = openLeaderboard(client, channel, { show, ...panel.callbacks });
  $(".play button", panel.within).addEventListener("click", async () => {
    const rolled = 1 + Math.floor(Math.random() * 100);
    try {
      await panel.follow(post(me(), rolled));
      $(".play output", panel.within).textContent = `You rolled ${rolled}`;
    } catch {
      // The panel says why.
    }
  });
}
