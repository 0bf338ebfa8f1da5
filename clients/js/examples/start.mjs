// Serves one example: `npm run example react-chat` in clients/js, beside `widgetwire serve`.
// PORT is where (3000), SERVER the address of Widgetwire (http://127.0.0.1:8000).
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const names = readdirSync(`${root}/examples`, { withFileTypes: true }).flatMap((one) => (one.isDirectory() ? [one.name] : []));
const [name] = process.argv.slice(2);
if (!names.includes(name)) {
  console.error(`usage: npm run example NAME, where NAME is one of ${names.join(", ")}`);
  process.exit(2);
}

const { PORT = "3000", SERVER = "http://127.0.0.1:8000", npm_execpath: npm } = process.env;
const run = (...command) => execFileSync(process.execPath, command, { cwd: root, stdio: "inherit" });
if (!existsSync(`${root}/node_modules`)) run(npm, "ci", "--ignore-scripts");
if (!existsSync(`${root}/dist`)) run("node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json");

const { context } = await import("esbuild");
const place = `${root}/examples/${name}`;
const building = await context({
  entryPoints: [existsSync(`${place}/main.jsx`) ? `${place}/main.jsx` : `${place}/main.js`],
  bundle: true,
  format: "esm",
  jsx: "automatic",
  outdir: place,
  write: false,
  define: { SERVER: JSON.stringify(SERVER), "process.env.NODE_ENV": '"development"' },
});
const { port } = await building.serve({ servedir: place, host: "127.0.0.1", port: Number(PORT) });
console.log(`${name} is on http://localhost:${port}, and talks to ${SERVER}.`);
console.log(`The server must let it in: WIDGETWIRE_ALLOWED_ORIGINS=http://localhost:${port} widgetwire serve`);
