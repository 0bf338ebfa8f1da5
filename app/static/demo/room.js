/** A socket of one channel that tells when it is away and back, and what the channel allows. */
export function openRoom(channel, { link, policy, opened = () => {} }) {
  const socket = new c8PlayerApi.webSocket({ persistent: true, ...channel });
  let why = "";

  socket.onOpen = () => {
    link("");
    opened();
  };
  socket.onPolicyChange = ({ data }) => policy(data);
  socket.onError = (error) => (why = error.message);
  socket.onClose = ({ willReconnect }) =>
    link(willReconnect ? "Offline. Reconnecting …" : why, { final: !willReconnect });

  return socket;
}

/**
 * Whether a message is this visitor's own. Nobody else can publish under a user name, which comes
 * from a token, nor under a client id that begins with "signed-": the server signed it, and the
 * page's storage keeps the proof.
 */
export const isMine = (socket, { client_id, username }) =>
  username
    ? username === socket.username
    : client_id === socket.client_id && client_id.startsWith("signed-");
