import { isMine, openRoom } from "./room.js";

/** A chat: what is said is stored, reaches every page at once, and can be taken back. */
export function openChat(channel, { history, show, remove, ...panel }) {
  const socket = openRoom(channel, {
    ...panel,
    opened: () =>
      socket.search({
        query: { sortField: "created", sortOrder: "desc", limit: 30 },
        success: (found) => history(found.resultSet.reverse()),
        error: (error) => panel.link(error.message),
      }),
  });

  socket.onMessage = show;
  socket.onRetract = ({ data }) => remove(data);

  return {
    say: (name, text) => socket.publish({ name, text }),
    retract: (id) => socket.retract([id]),
    isMine: (message) => isMine(socket, message),
  };
}
