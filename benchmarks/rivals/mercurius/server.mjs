// The baseline in Node: Fastify, Mercurius and node-postgres as their documentation puts them
// together. Needs WIDGETWIRE_DATABASE_URL. One process; JIT on; the pubsub that Mercurius brings.

import { randomUUID } from "node:crypto";

import Fastify from "fastify";
import mercurius from "mercurius";
import pg from "pg";

const SCHEMA = `
  scalar JSON

  type Message {
    id: ID!
    clientId: ID!
    created: Float!
    data: JSON!
    username: String
  }

  type Query {
    messages(projectId: ID!, widgetId: ID!, before: ID): [Message!]!
  }

  type Mutation {
    publish(projectId: ID!, widgetId: ID!, data: JSON!, clientId: ID!): Message!
  }

  type Subscription {
    messages(projectId: ID!, widgetId: ID!): Message!
  }
`;

const TABLE = `
  CREATE TABLE IF NOT EXISTS mercurius_message (
    sequence serial PRIMARY KEY,
    id varchar NOT NULL,
    channel varchar NOT NULL,
    client_id varchar NOT NULL,
    created bigint NOT NULL,
    username varchar,
    data json
  );
  CREATE INDEX IF NOT EXISTS mercurius_message_channel ON mercurius_message (channel);
`;

const INSERT = `
  INSERT INTO mercurius_message (id, channel, client_id, created, username, data)
  VALUES ($1, $2, $3, $4, $5, $6)
`;

// Of the table that `python -m benchmarks.million` fills.
const PAGE = `
  SELECT id, client_id, created, data, username FROM plain_message WHERE channel = $1
`;
const NEWEST = `${PAGE} ORDER BY sequence DESC LIMIT 50`;
const BEFORE = `${PAGE}
  AND sequence < (SELECT sequence FROM plain_message WHERE channel = $1 AND id = $2)
  ORDER BY sequence DESC LIMIT 50
`;

const pool = new pg.Pool({
  connectionString: process.env.WIDGETWIRE_DATABASE_URL,
  max: 16,
});

const channelOf = ({ projectId, widgetId }) => `${projectId}/${widgetId}`;

const resolvers = {
  Query: {
    messages: async (_, args) => {
      const found =
        args.before == null
          ? await pool.query({ name: "newest", text: NEWEST, values: [channelOf(args)] })
          : await pool.query({
              name: "before",
              text: BEFORE,
              values: [channelOf(args), args.before],
            });
      return found.rows.map((row) => ({
        id: row.id,
        clientId: row.client_id,
        created: Number(row.created),
        data: row.data,
        username: row.username,
      }));
    },
  },
  Mutation: {
    publish: async (_, args, { pubsub }) => {
      const message = {
        id: randomUUID(),
        clientId: args.clientId,
        created: Date.now(),
        data: args.data,
        username: null,
      };
      await pool.query(INSERT, [
        message.id,
        channelOf(args),
        message.clientId,
        message.created,
        message.username,
        JSON.stringify(message.data),
      ]);
      await pubsub.publish({ topic: channelOf(args), payload: { messages: message } });
      return message;
    },
  },
  Subscription: {
    messages: {
      subscribe: (_, args, { pubsub }) => pubsub.subscribe(channelOf(args)),
    },
  },
};

await pool.query(TABLE);
// Of 16 publishers some have nothing to do for seconds.
const app = Fastify({ keepAliveTimeout: 3_600_000 });
app.register(mercurius, {
  schema: SCHEMA,
  resolvers,
  jit: 1,
  // Queries over the socket too: the load tells by one that its subscription was received.
  subscription: { fullWsTransport: true },
});
await app.listen({ host: "127.0.0.1", port: 0, backlog: 2048 });
console.log(`ready on http://127.0.0.1:${app.server.address().port}`);
