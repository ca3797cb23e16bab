import ts from "typescript";
import { expect, it } from "vitest";
import { parse, sourceFiles } from "./sources.ts";

/** The names that a file declares and exports without a TSDoc comment. */
function undocumented(file: string): string[] {
  const documented = new Set<string>();
  const names: string[] = [];
  for (const statement of parse(file).statements) {
    if (
      !ts.canHaveModifiers(statement) ||
      !ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)
    )
      continue;
    const hasComment = ts
      .getJSDocCommentsAndTags(statement)
      .some((comment) => ts.isJSDoc(comment) && comment.getText().length > "/** */".length);
    for (const name of declaredNames(statement)) {
      names.push(name);
      if (hasComment) documented.add(name);
    }
  }
  // Overloads count as documented when one of them is.
  return [...new Set(names)].filter((name) => !documented.has(name));
}

function declaredNames(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement))
    return statement.declarationList.declarations.map((declaration) => declaration.name.getText());
  const { name } = statement as ts.DeclarationStatement;
  return [name?.getText() ?? "(no name)"];
}

it.each(sourceFiles("src"))("%s documents what it exports", (file) => {
  expect(undocumented(file)).toEqual([]);
});
