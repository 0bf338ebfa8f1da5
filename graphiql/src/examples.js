/**
 * What a newcomer finds in the tabs: each runs as it stands, in any order, and together they
 * show the API. The ids are those of the demonstration page, so that the two can be tried
 * side by side.
 */

export const examples = [
  {
    query: `# Run this. Then open this page in a second
# window and run Publish there: the message
# arrives here. (Another tab of this window
# would stop the subscription.)
#
# "last" sends the newest stored messages
# first, "after" resumes after an id.
subscription Messages {
  messages(
    projectId: "demo"
    widgetId: "chat"
    last: 3
  ) {
    id
    created
    clientId
    username
    data
  }
}
`,
  },
  {
    query: `# "data" is any JSON value, and comes back
# exactly as it was sent.
mutation Publish {
  publish(
    projectId: "demo"
    widgetId: "chat"
    data: {
      name: "Ada"
      text: "Hello from GraphiQL"
    }
  ) {
    id
    created
    username
    data
  }
}
`,
  },
  {
    query: `# A filter compares any path below "data";
# "and", "or" and "not" combine filters.
query Search {
  messages(
    projectId: "demo"
    widgetId: "chat-scores"
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
  },
  {
    query: `# One group for each value of "data.choice",
# the largest first.
query Groups {
  messages(
    projectId: "demo"
    widgetId: "chat-poll"
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
  },
  {
    query: `# The result of a query now, and again
# each time it changes.
subscription LiveMessages {
  liveMessages(
    projectId: "demo"
    widgetId: "chat-poll"
    query: { groupBy: "data.choice" }
  ) {
    groups {
      key
      count
    }
  }
}
`,
  },
  {
    query: `# How many are connected to the channel,
# now and after each change.
subscription Connected {
  connectionCount(
    projectId: "demo"
    widgetId: "chat"
  ) {
    count
  }
}
`,
  },
];
