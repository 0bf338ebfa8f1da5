import { isMine, openRoom } from "./room.js";

/** A poll: one vote a person, which can be changed; the server counts the votes as they come. */
export function openPoll(client, channel, { show, state, mine, ...panel }) {
  const socket = openRoom(channel, {
    ...panel,
    // What this person voted on an earlier visit.
    opened: () => {
      const { username, client_id } = socket;
      const field = username ? "username" : "client_id";
      const me = { field, operator: "=", value: username || client_id };
      socket.search({
        query: { filters: [me], sortOrder: "desc", limit: 1 },
        success: ({ resultSet: [vote] }) => vote && mine(vote.data.choice),
        error: () => {}, // whoever may not search can vote all the same
      });
    },
  });
  // … or in another window.
  socket.onMessage = (vote) => isMine(socket, vote) && mine(vote.data.choice);

  client.subscribe(
    `subscription Poll($projectId: ID!, $widgetId: ID!) {
      liveMessages(
        projectId: $projectId
        widgetId: $widgetId
        query: {
          groupBy: "data.choice"
          filters: [{ field: "data.choice", operator: EXISTS, value: true }]
          limit: 6
        }
      ) {
        groups { key count }
      }
    }`,
    { projectId: channel.project, widgetId: channel.widget },
    ({ liveMessages }) => show(liveMessages.groups),
    state,
  );

  return { vote: (choice) => socket.publish({ choice }, { id: "vote", onRepeat: "REPLACE" }) };
}
