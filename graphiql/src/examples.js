/**
 * What a newcomer finds in the tabs: each runs as it stands, and together they show the API.
 * A token, where one is needed, goes into the Headers editor of its tab.
 */

const channel = JSON.stringify({ projectId: "demo", widgetId: "chat" }, null, 2);
const poll = JSON.stringify({ projectId: "demo", widgetId: "poll" }, null, 2);

export const examples = [
  {
    query: `# Subscribe first, then publish from the next tab: the message arrives here.
# With "last" the newest stored messages come first; "after" resumes after an id.
# A token goes into Headers below: { "Authorization": "Bearer …" }
subscription Messages($projectId: ID!, $widgetId: ID!) {
  messages(projectId: $projectId, widgetId: $widgetId, last: 3) {
    id
    created
    clientId
    username
    data
  }
}
`,
    variables: channel,
  },
  {
    query: `# "data" is any JSON value; it comes back exactly as it was sent.
mutation Publish($projectId: ID!, $widgetId: ID!, $data: JSON!) {
  publish(projectId: $projectId, widgetId: $widgetId, data: $data) {
    id
    created
    username
    data
  }
}
`,
    variables: JSON.stringify(
      {
        projectId: "demo",
        widgetId: "chat",
        data: { text: "Hello from GraphiQL", name: "Ada", score: 60 },
      },
      null,
      2,
    ),
  },
  {
    query: `# Filters compare any path below "data"; and, or, not nest them.
query Search($projectId: ID!, $widgetId: ID!) {
  messages(
    projectId: $projectId
    widgetId: $widgetId
    query: {
      filters: [
        { field: "data.score", operator: GTE, value: 50 }
        { not: { field: "data.name", operator: EQ, value: "Bob" } }
      ]
      sortField: "data.score"
      sortOrder: DESC
      limit: 10
    }
  ) {
    totalCount
    messages {
      id
      created
      data
    }
    aggregate(field: "data.score") {
      count
      min
      max
      avg
    }
  }
}
`,
    variables: channel,
  },
  {
    query: `# One group for each value of "data.choice", the largest first.
query Groups($projectId: ID!, $widgetId: ID!) {
  messages(
    projectId: $projectId
    widgetId: $widgetId
    query: { groupBy: "data.choice" }
  ) {
    totalCount
    groups {
      key
      count
      messages(limit: 2) {
        created
        data
      }
    }
  }
}
`,
    variables: poll,
  },
  {
    query: `# The result now, and again each time it changes.
subscription LiveMessages($projectId: ID!, $widgetId: ID!) {
  liveMessages(
    projectId: $projectId
    widgetId: $widgetId
    query: { groupBy: "data.choice" }
  ) {
    groups {
      key
      count
    }
  }
}
`,
    variables: poll,
  },
  {
    query: `# How many are connected to the channel, now and after each change.
subscription Connected($projectId: ID!, $widgetId: ID!) {
  connectionCount(projectId: $projectId, widgetId: $widgetId) {
    count
  }
}
`,
    variables: channel,
  },
];
