import { openRoom } from "./room.js";

/** A leaderboard: one row a player, by the best score, sent again whenever it changes. */
export function openLeaderboard(client, channel, { show, state, ...panel }) {
  const socket = openRoom(channel, panel);

  client.subscribe(
    `subscription Best($projectId: ID!, $widgetId: ID!) {
      liveMessages(
        projectId: $projectId
        widgetId: $widgetId
        query: {
          groupBy: "data.player"
          filters: [
            { field: "data.player", operator: EXISTS, value: true }
            { field: "data.score", operator: GTE, value: 0 }
          ]
          sortField: "max(data.score)"
          sortOrder: DESC
          limit: 5
        }
      ) {
        groups { key aggregate(field: "data.score") { max } }
      }
    }`,
    { projectId: channel.project, widgetId: channel.widget },
    ({ liveMessages }) => show(liveMessages.groups),
    state,
  );

  return { post: (player, score) => socket.publish({ player, score }) };
}
