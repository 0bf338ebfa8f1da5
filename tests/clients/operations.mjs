// What every client of the tests does, and how a script tells the test where it is.
import { basename } from "node:path";

// Several run beside each other on one server.
const WIDGET = basename(process.argv[1], ".mjs");

export const PUBLISH = /* GraphQL */ `
  mutation Publish($data: JSON!) {
    publish(projectId: "clients", widgetId: "${WIDGET}", data: $data, clientId: "js") {
      id
      data
      clientId
      username
    }
  }
`;
export const SEARCH = /* GraphQL */ `
  query Search {
    messages(projectId: "clients", widgetId: "${WIDGET}", query: { limit: 10 }) {
      totalCount
      messages { id data }
    }
  }
`;
export const SUBSCRIBE = /* GraphQL */ `
  subscription Live($after: ID) {
    messages(projectId: "clients", widgetId: "${WIDGET}", after: $after) { id data }
  }
`;
export const BAD_CURSOR = /* GraphQL */ `
  subscription Bad {
    messages(projectId: "clients", widgetId: "${WIDGET}", after: "nowhere") { id }
  }
`;
export const BAD_PROJECT = /* GraphQL */ `
  query Bad {
    messages(projectId: "not a project!", widgetId: "${WIDGET}") { totalCount }
  }
`;

/** Publishes over plain HTTP, as any other program would. */
export async function publish(httpUrl, data) {
  const response = await fetch(httpUrl, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: PUBLISH, variables: { data } }),
  });
  const { data: result, errors } = await response.json();
  if (errors) throw new Error(JSON.stringify(errors));
  return result.publish;
}

/** Says on a line of its own how far the script is. */
export function say(word) {
  console.log(word);
}

/** A queue to await: `put` from a callback, `next` in the script. */
export class Inbox {
  #items = [];
  #waiting = [];

  put(item) {
    const waiter = this.#waiting.shift();
    if (waiter) waiter(item);
    else this.#items.push(item);
  }

  next(what = "an item") {
    if (this.#items.length) return Promise.resolve(this.#items.shift());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${what} did not come`)), 20_000);
      this.#waiting.push((item) => {
        clearTimeout(timer);
        resolve(item);
      });
    });
  }
}

/** An address as its HTTP and its WebSocket form. */
export function addresses() {
  const http = `${process.argv[2]}/graphql`;
  return { http, ws: http.replace(/^http/, "ws") };
}
