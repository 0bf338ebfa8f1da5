// Writes src/generated.ts: the types of schema.graphql that clients need, and each operation of
// src/operations.graphql as text, with the types of its variables and of its result.
// `node codegen.mjs --check` only tells whether the file is up to date.
import { readFileSync, writeFileSync } from "node:fs";
import {
  buildSchema,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
  isObjectType,
  isScalarType,
  isUnionType,
  Kind,
  parse,
  print,
  stripIgnoredCharacters,
  typeFromAST,
  validate,
  visit,
} from "graphql";

const here = (path) => new URL(path, import.meta.url);
const SCALARS = { ID: "string", String: "string", Int: "number", Float: "number", Boolean: "boolean", Timestamp: "number", JSON: "unknown" };
const OUTPUT = here("src/generated.ts");

const schema = buildSchema(readFileSync(process.env.SCHEMA ?? here("../../schema.graphql"), "utf8"));
const document = parse(readFileSync(here("src/operations.graphql"), "utf8"));
const errors = validate(schema, document);
if (errors.length) {
  console.error(errors.map((error) => error.toString()).join("\n\n"));
  process.exit(1);
}

const fragments = new Map();
const operations = [];
for (const node of document.definitions) {
  if (node.kind === Kind.FRAGMENT_DEFINITION) fragments.set(node.name.value, node);
  else operations.push(node);
}

const used = new Set(); // enums and inputs that an operation names

const named = (type) => {
  if (isScalarType(type)) return SCALARS[type.name];
  used.add(type);
  return type.name;
};

/** A type as TypeScript has it; `leaf` writes what is inside its lists. */
const written = (type, leaf, nullable = true) => {
  if (isNonNullType(type)) return written(type.ofType, leaf, false);
  const text = isListType(type) ? `ReadonlyArray<${written(type.ofType, leaf)}>` : leaf(type);
  return nullable && text !== "unknown" ? `${text} | null` : text;
};

const comment = (text, indent = "") => (text ? `${indent}/** ${text.replace(/\s+/g, " ").trim()} */\n` : "");

const conditional = (node) => node.directives.some(({ name }) => name.value === "include" || name.value === "skip");

/** The fields that a selection gives, fragments of the same type spread. */
const fieldsOf = (type, { selections }) =>
  selections.flatMap((node) => {
    if (node.kind === Kind.FIELD) return [node];
    const spread = node.kind === Kind.FRAGMENT_SPREAD ? fragments.get(node.name.value) : node;
    return (spread.typeCondition?.name.value ?? type.name) === type.name ? fieldsOf(type, spread.selectionSet) : [];
  });

const selected = (type, selectionSet) => {
  if (isUnionType(type)) return type.getTypes().map((one) => selected(one, selectionSet)).join(" | ");
  const fields = fieldsOf(type, selectionSet).map((node) => {
    const key = node.alias?.value ?? node.name.value;
    if (node.name.value === "__typename") return `${key}: "${type.name}"`;
    const field = type.getFields()[node.name.value].type;
    const leaf = (one) => (node.selectionSet ? selected(one, node.selectionSet) : named(one));
    return `${key}${conditional(node) ? "?" : ""}: ${written(field, leaf)}`;
  });
  return `{ ${fields.join("; ")} }`;
};

const roots = { query: schema.getQueryType(), mutation: schema.getMutationType(), subscription: schema.getSubscriptionType() };

/** The fragments that a node spreads, those inside them included. */
const spreads = (node, found = new Set()) => {
  visit(node, {
    FragmentSpread({ name }) {
      if (found.has(name.value)) return;
      found.add(name.value);
      spreads(fragments.get(name.value), found);
    },
  });
  return [...found];
};

// Fragments are sent under names of one letter.
const short = ({ name }) => ({ kind: Kind.NAME, value: "ABCDEFGH"[[...fragments.keys()].indexOf(name.value)] });
const renamed = (node) => ({ ...node, name: short(node) });
const minified = (node) =>
  JSON.stringify(stripIgnoredCharacters(print(visit(node, { FragmentSpread: renamed, FragmentDefinition: renamed }))));

const parts = [];
for (const operation of operations) {
  const name = operation.name.value;
  const variables = operation.variableDefinitions.map(({ variable, type }) => {
    const declared = typeFromAST(schema, type);
    return isNonNullType(declared)
      ? `${variable.name.value}: ${written(declared, named)}`
      : `${variable.name.value}?: ${written(declared, named)} | undefined`;
  });
  // Fragments once each: several operations spread the same.
  const text = [minified(operation), ...spreads(operation)].join(" + ");
  parts.push(
    `export const ${name} = (${text}) as Operation<\n  { ${variables.join("; ")} },\n  ${selected(roots[operation.operation], operation.selectionSet)}\n>;\n`,
  );
}
for (const [name, node] of [...fragments].reverse()) parts.unshift(`const ${name} =\n  ${minified(node)};\n`);

// Inputs name further inputs and enums.
for (const type of used) {
  if (isInputObjectType(type)) for (const field of Object.values(type.getFields())) named(getNamedType(field.type));
}
const types = [...used]
  .sort((a, b) => (a.name < b.name ? -1 : 1))
  .map((type) => {
    if (isEnumType(type)) return `${comment(type.description)}export type ${type.name} = ${type.getValues().map(({ name }) => `"${name}"`).join(" | ")};\n`;
    const fields = Object.values(type.getFields()).map((field) => {
      const optional = !isNonNullType(field.type) || field.defaultValue !== undefined;
      return `${comment(field.description, "  ")}  ${field.name}${optional ? "?" : ""}: ${written(field.type, named)};\n`;
    });
    return `${comment(type.description)}export interface ${type.name} {\n${fields.join("")}}\n`;
  });

const objects = ["Message", "Aggregate", "PageInfo", "ChannelPolicy", "Viewer"].map((name) => {
  const type = schema.getType(name);
  if (!isObjectType(type)) throw new Error(`schema.graphql has no type ${name}`);
  const fields = Object.values(type.getFields()).map(
    (field) => `${comment(field.description, "  ")}  ${field.name}: ${written(field.type, named)};\n`,
  );
  return `${comment(type.description)}export interface ${name} {\n${fields.join("")}}\n`;
});

const text = [
  "// Generated by codegen.mjs from schema.graphql and src/operations.graphql: change those, then `npm run generate`.\n",
  "declare const typed: unique symbol;\n\n/** The text of an operation, which knows the types of its variables and of its result. */\nexport type Operation<Variables, Result> = string & { readonly [typed]?: (variables: Variables) => Result };\n",
  ...types,
  ...objects,
  ...parts,
].join("\n");

if (process.argv.includes("--check")) {
  if (readFileSync(OUTPUT, "utf8") !== text) {
    console.error("src/generated.ts is out of date: npm run generate");
    process.exit(1);
  }
} else {
  writeFileSync(OUTPUT, text);
}
