/**
 * Bundles GraphiQL into a folder that needs nothing else: `node bundle.mjs [OUTPUT]`.
 *
 * Every file but index.html carries its content's hash in its name, so that browsers may keep
 * it for ever. Monaco's three workers are built first: the page must know their names.
 */
import { readFile, writeFile, mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { build } from "esbuild";

const output = process.argv[2] ?? "dist";

const common = {
  bundle: true,
  format: "esm",
  target: ["es2022"],
  minify: true,
  metafile: true,
  outdir: output,
  entryNames: "[name]-[hash]",
  chunkNames: "chunk-[hash]",
  assetNames: "[name]-[hash]",
  loader: { ".ttf": "file", ".woff2": "file" },
  define: { "process.env.NODE_ENV": '"production"', "process.env.USE_IMPORT": '"true"' },
  // Licences of what is inside travel with it.
  legalComments: "linked",
  logLevel: "warning",
};

/** The file name that `entry` was written to. */
function nameOf(result, entry) {
  const found = Object.entries(result.metafile.outputs).find(
    ([, written]) => written.entryPoint?.endsWith(entry),
  );
  if (!found) throw new Error(`${entry} was not written`);
  return { script: basename(found[0]), style: found[1].cssBundle && basename(found[1].cssBundle) };
}

await mkdir(output, { recursive: true });

const workers = await build({
  ...common,
  entryPoints: ["src/editor.worker.js", "src/json.worker.js", "src/graphql.worker.js"],
});

const page = await build({
  ...common,
  // The dynamic imports of GraphiQL become chunks: the frame shows before the editor is in.
  splitting: true,
  jsx: "automatic",
  entryPoints: ["src/page.jsx"],
  define: {
    ...common.define,
    WORKERS: JSON.stringify(
      Object.fromEntries(
        ["editor", "json", "graphql"].map((label) => [
          label,
          nameOf(workers, `${label}.worker.js`).script,
        ]),
      ),
    ),
  },
});

const { script, style } = nameOf(page, "page.jsx");
const html = (await readFile("src/index.html", "utf8"))
  .replaceAll("{{script}}", script)
  .replaceAll("{{style}}", style);
await writeFile(join(output, "index.html"), html);
