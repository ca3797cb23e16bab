import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

/** The repository's root directory. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** The TypeScript files below a directory of the repository, as paths from its root; [] when it does not exist. */
export function sourceFiles(directory: string): string[] {
  const isThere = readdirSync(ROOT).includes(directory);
  const entries = isThere ? readdirSync(join(ROOT, directory), { recursive: true, withFileTypes: true }) : [];
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts") && !entry.name.endsWith(".d.ts"))
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length + 1))
    .filter((file) => !file.includes("node_modules/"))
    .sort();
}

/** The text of a file. */
export const textOf = (file: string): string => readFileSync(join(ROOT, file), "utf8");

/** The syntax tree of a file. */
export const parse = (file: string): ts.SourceFile =>
  ts.createSourceFile(file, textOf(file), ts.ScriptTarget.ES2023, true);

/** Every node below `node`, itself included. */
export function* nodesOf(node: ts.Node): Generator<ts.Node> {
  yield node;
  for (const child of node.getChildren()) yield* nodesOf(child);
}

/** What a file imports: from import and export declarations and from `import("…")`. */
export function importsOf(file: string): string[] {
  const found: string[] = [];
  for (const node of nodesOf(parse(file))) {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier)
      found.push((node.moduleSpecifier as ts.StringLiteral).text);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      found.push((node.arguments[0] as ts.StringLiteral).text);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      found.push((node.argument.literal as ts.StringLiteral).text);
  }
  return found;
}
