/** A chat on the legacy API: what is said is stored, and reaches every page at once. */
export function openChat(channel, { history, show, state }) {
  const socket = new c8PlayerApi.webSocket({ persistent: true, ...channel });

  socket.onMessage = (message) => show(message);

  socket.onOpen = () => {
    state("");
    socket.search({
      query: { sortField: "created", sortOrder: "desc", limit: 30 },
      success: (found) => history(found.resultSet.reverse()),
      error: (error) => state(error.message),
    });
  };

  socket.onError = (error) => state(error.message);
  socket.onClose = ({ willReconnect }) => willReconnect && state("Reconnecting …");

  return { say: (name, text) => socket.publish({ name, text }) };
}
