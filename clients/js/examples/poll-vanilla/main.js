import { createClient } from "widgetwire";
import { openPoll } from "./poll.js";

openPoll(createClient({ url: `${SERVER}/graphql`, projectId: "demo" }));
