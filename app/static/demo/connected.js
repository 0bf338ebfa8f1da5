/** How many are connected to the chat; whoever only counts is not counted. */
export function openConnected(client, channel, { show, state }) {
  client.subscribe(
    `subscription Connected($projectId: ID!, $widgetId: ID!) {
      connectionCount(projectId: $projectId, widgetId: $widgetId) { count }
    }`,
    { projectId: channel.project, widgetId: channel.widget },
    ({ connectionCount }) => show(connectionCount.count),
    state,
  );
}
