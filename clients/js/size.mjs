// Prints what the package adds to a page, in bytes: minified by esbuild, then gzip at level 9.
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const bytes = async (contents, external = []) => {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: import.meta.dirname },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    external: ["react", ...external],
    write: false,
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
};

const everything = 'export * from "./src/index.ts"';
console.log(
  JSON.stringify({
    "widgetwire and graphql-ws": await bytes(everything),
    widgetwire: await bytes(everything, ["graphql-ws/client"]),
    "widgetwire, graphql-ws and the hooks": await bytes(`${everything}; export * from "./src/react.ts"`),
    "WidgetwireError alone": await bytes('export { WidgetwireError } from "./src/index.ts"'),
    "useCount alone": await bytes('export { useCount } from "./src/react.ts"'),
  }),
);
