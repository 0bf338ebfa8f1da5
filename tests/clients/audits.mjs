// The audits of graphql-http: does the server follow GraphQL over HTTP?
import { auditServer } from "graphql-http";
import { addresses, say } from "./operations.mjs";

const results = await auditServer({ url: addresses().http, fetchFn: fetch });
const failed = results.filter(({ status }) => status !== "ok");
for (const { id, name, status, reason } of failed) console.error(status, id, name, reason);
say(`PASSED ${results.length - failed.length} OF ${results.length}`);
process.exit(failed.length ? 1 : 0);
