/** The newest messages of a channel as an immutable list, retracted ones taken out. */

import type { Channel } from "./channel.ts";
import type { WidgetwireError } from "./errors.ts";
import type { EventOptions, Message } from "./events.ts";

export interface MessageList<Data = unknown> {
  /** Oldest first. */
  readonly messages: readonly Message<Data>[];
  /** Until all that was stored before has come. */
  readonly loading: boolean;
  /** Why nothing comes any more. */
  readonly error?: WidgetwireError;
}

export const LOADING: MessageList<never> = { messages: [], loading: true };

/** Messages that come at once make one list: sixty a second are enough to look at. */
const BATCH_MS = 16;

/** @param limit messages that are kept; with one more the oldest goes. */
export function follow<Data>(
  channel: Channel<Data>,
  options: EventOptions,
  limit: number,
  update: (list: MessageList<Data>) => void,
): () => void {
  let messages: Message<Data>[] = [];
  let loading = true;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    update({ messages: [...messages], loading });
  };
  const stop = channel.events(options).subscribe(
    (event) => {
      switch (event.type) {
        case "message":
          messages.push(event.message);
          if (messages.length > limit) messages = messages.slice(-limit);
          break;
        case "retracted": {
          const gone = new Set(event.ids);
          messages = messages.filter(({ id }) => !gone.has(id));
          break;
        }
        case "reset":
          messages = [];
          loading = true;
          return;
        case "caughtUp":
          loading = false;
          return flush();
        case "policy":
          return;
      }
      if (!loading) timer ??= setTimeout(flush, BATCH_MS);
    },
    (error) => {
      clearTimeout(timer);
      update({ messages: [...messages], loading: false, error });
    },
  );
  return () => {
    clearTimeout(timer);
    stop();
  };
}
