/** A poll: each vote is a message, and the server groups them as they come. */
export function openPoll(client, channel, { show, state }) {
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
    channel,
    ({ liveMessages }) => {
      state("");
      show(liveMessages.groups);
    },
    (error) => state(error.message),
  );

  const vote = `mutation Vote($projectId: ID!, $widgetId: ID!, $data: JSON!) {
    publish(projectId: $projectId, widgetId: $widgetId, data: $data) { id }
  }`;
  return { vote: (choice) => client.request(vote, { ...channel, data: { choice } }) };
}
