/**
 * Every GraphQL document that the console sends, as it sends it. A server that executes known
 * documents only reads them from this file: each is `export const NAME = ` and one plain template.
 */
export const VIEWER = `query { viewer { sub username projects permissions } }`;

export const CHANNELS = `query ($projectId: ID!, $limit: Int!, $after: ID) {
  channels(projectId: $projectId, limit: $limit, after: $after) {
    widgetId messages connections lastCreated
  }
}`;

export const CONNECTED = `subscription ($projectId: ID!, $widgetId: ID!) {
  connectionCount(projectId: $projectId, widgetId: $widgetId) { count }
}`;

export const PAGE = `query ($projectId: ID!, $widgetId: ID!, $query: MessageQuery!) {
  messages(projectId: $projectId, widgetId: $widgetId, query: $query) {
    messages { id clientId created username persistent verified data }
    pageInfo { hasNextPage }
  }
}`;

export const EVENTS = `subscription (
  $projectId: ID!, $widgetId: ID!, $filters: [MessageFilter!]!, $after: ID
) {
  channelEvents(projectId: $projectId, widgetId: $widgetId, filters: $filters, after: $after) {
    __typename
    ... on MessagePublished {
      message { id clientId created username persistent verified data }
    }
    ... on MessagesRetracted { at: cursor ids reason }
    ... on CaughtUp { upTo: cursor }
  }
}`;

export const RETRACT = `mutation (
  $projectId: ID!, $widgetId: ID!, $ids: [ID!]!, $reason: String
) {
  retract(projectId: $projectId, widgetId: $widgetId, ids: $ids, reason: $reason)
}`;

export const HELD = `query ($projectId: ID!, $widgetId: ID!, $limit: Int!) {
  heldMessages(projectId: $projectId, widgetId: $widgetId, limit: $limit) {
    id clientId created username persistent verified data
  }
}`;

export const HELD_ARRIVING = `subscription ($projectId: ID!, $widgetId: ID!) {
  heldMessages(projectId: $projectId, widgetId: $widgetId) {
    id clientId created username persistent verified data
  }
}`;

export const APPROVE = `mutation ($projectId: ID!, $widgetId: ID!, $ids: [ID!]!) {
  number: approve(projectId: $projectId, widgetId: $widgetId, ids: $ids)
}`;

export const REJECT = `mutation ($projectId: ID!, $widgetId: ID!, $ids: [ID!]!) {
  number: reject(projectId: $projectId, widgetId: $widgetId, ids: $ids)
}`;

export const BANS = `query ($projectId: ID!) {
  bans(projectId: $projectId) { id username sub clientId until reason mode }
}`;

export const BAN = `mutation ($projectId: ID!, $input: BanInput!) {
  ban(projectId: $projectId, input: $input) { id }
}`;

export const UNBAN = `mutation ($projectId: ID!, $id: ID!) {
  unban(projectId: $projectId, id: $id)
}`;

export const GROUPS = `subscription ($projectId: ID!, $widgetId: ID!, $query: MessageQuery!) {
  liveMessages(projectId: $projectId, widgetId: $widgetId, query: $query) {
    totalCount
    groups { key count }
  }
}`;

export const GROUPS_AVERAGE = `subscription (
  $projectId: ID!, $widgetId: ID!, $query: MessageQuery!, $average: String!
) {
  liveMessages(projectId: $projectId, widgetId: $widgetId, query: $query) {
    totalCount
    groups { key count aggregate(field: $average) { avg } }
    aggregate(field: $average) { avg }
  }
}`;

export const POLICY = `query ($projectId: ID!, $widgetId: ID!) {
  channelPolicy(projectId: $projectId, widgetId: $widgetId) {
    writers slowModeSeconds maxPublishesPerSecond opensAt closesAt hold
    blockedWords dataSchema retentionSeconds
  }
}`;

export const SET_POLICY = `mutation (
  $projectId: ID!, $widgetId: ID!, $policy: ChannelPolicyInput!
) {
  setChannelPolicy(projectId: $projectId, widgetId: $widgetId, policy: $policy) {
    writers slowModeSeconds maxPublishesPerSecond opensAt closesAt hold
    blockedWords dataSchema retentionSeconds
  }
}`;

// Its filter matches no message; the other events come whatever the filter.
export const POLICY_CHANGES = `subscription ($projectId: ID!, $widgetId: ID!) {
  channelEvents(
    projectId: $projectId
    widgetId: $widgetId
    filters: [{ field: "created", operator: LT, value: 0 }]
  ) {
    ... on ChannelPolicyChanged {
      policy {
        writers slowModeSeconds maxPublishesPerSecond opensAt closesAt hold
        blockedWords dataSchema retentionSeconds
      }
    }
  }
}`;

export const COUNT = `query ($projectId: ID!, $widgetId: ID!, $query: MessageQuery!) {
  messages(projectId: $projectId, widgetId: $widgetId, query: $query) { totalCount }
}`;

// In this order: the export cuts the answer's text where the messages begin.
export const EXPORT = `query ($projectId: ID!, $widgetId: ID!, $query: MessageQuery!) {
  messages(projectId: $projectId, widgetId: $widgetId, query: $query) {
    pageInfo { hasNextPage endCursor }
    messages { id client_id: clientId created username data }
  }
}`;

export const DELETE = `mutation ($projectId: ID!, $widgetId: ID!, $filters: [MessageFilter!]!) {
  deleteMessages(projectId: $projectId, widgetId: $widgetId, filters: $filters)
}`;
