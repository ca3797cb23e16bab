/** A row of cells. */
export type Row = readonly string[];

/**
 * Lines of a table: a head, a rule, the rows. The first column is flush left, the others (numbers) flush
 * right.
 *
 * @param head titles, one for each column
 */
export function table(head: Row, rows: readonly Row[]): string[] {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column].length)),
  );
  const line = (row: Row): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join("  ");
  return [line(head), widths.map((width) => "─".repeat(width)).join("──"), ...rows.map(line)];
}

/** Lines of names with what belongs to them, aligned: `  device   cpu`. */
export function facts(pairs: readonly (readonly [name: string, value: string])[]): string[] {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`);
}
