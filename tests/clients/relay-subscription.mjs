// After the documented set-up: what Relay's compiler makes of a subscription, and who shows it.
import { requestSubscription } from "relay-runtime";
const field = (name) => ({ kind: "ScalarField", name, storageKey: null, alias: null, args: null });
const fields = [{
  kind: "LinkedField", name: "messages", storageKey: null, alias: null, args: null,
  concreteType: "Message", plural: false, selections: ["id", "persistent", "data"].map(field),
}];
const node = { name: "Messages", type: "Subscription", metadata: null, selections: fields, argumentDefinitions: [] };
const text = `subscription Messages($last: Int, $after: ID) {
  messages(projectId: "demo", widgetId: "poll", last: $last, after: $after) { id persistent data }
}`;
requestSubscription(environment, {
  subscription: {
    kind: "Request",
    fragment: { ...node, kind: "Fragment" },
    operation: { ...node, kind: "Operation" },
    params: { name: "Messages", operationKind: "subscription", id: null, cacheID: "1", metadata: {}, text },
  },
  variables: { last: 50 },
  onNext: ({ messages }) => show(messages),
  onError: console.error,
});
