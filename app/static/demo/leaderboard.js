/** A leaderboard: the five best scores, sent again whenever they change. */
export function openLeaderboard(client, channel, { show, state }) {
  client.subscribe(
    `subscription Best($projectId: ID!, $widgetId: ID!) {
      liveMessages(
        projectId: $projectId
        widgetId: $widgetId
        query: {
          filters: [{ field: "data.score", operator: GTE, value: 0 }]
          sortField: "data.score"
          sortOrder: DESC
          limit: 5
        }
      ) {
        messages { id username data }
      }
    }`,
    channel,
    ({ liveMessages }) => {
      state("");
      show(liveMessages.messages);
    },
    (error) => state(error.message),
  );

  const publish = `mutation Score($projectId: ID!, $widgetId: ID!, $data: JSON!) {
    publish(projectId: $projectId, widgetId: $widgetId, data: $data) { id }
  }`;
  return {
    post: (name, score) => client.request(publish, { ...channel, data: { name, score } }),
  };
}
