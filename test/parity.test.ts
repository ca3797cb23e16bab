import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");

/** The boxes: so many of each group. */
const GROUPS: Readonly<Record<string, number>> = { M: 8, F: 8, I: 4, A: 6, L: 2 };
const BOXES = Object.entries(GROUPS).flatMap(([group, count]) => Array.from({ length: count }, (_, i) => `${group}${i + 1}`));

const lines = read("parity.md").split("\n");
const rows = lines.flatMap((line, i) => {
  const [, file, name] = /^- (\S+) "(.+)"$/.exec(line) ?? [];
  const box = lines.slice(0, i).findLast((before) => /^[A-Z]\d /.test(before))?.split(" ")[0];
  return file && name && box ? [[box, file, name] as const] : [];
});
const scenes = new Set((JSON.parse(read("goldens/parity/scenes.json")) as { scenes: { name: string }[] }).scenes.map(({ name }) => name));

describe("test/parity.md", () => {
  it("names a test for every box, and nothing but tests", () => {
    expect([...new Set(rows.map(([box]) => box))]).toEqual(BOXES);
    expect(lines.filter((line) => line.startsWith("-"))).toHaveLength(rows.length);
  });

  it.each(rows)("%s: %s has %j", (_, file, name) => {
    const source = read(file);
    const isScene = file.endsWith("scenes.test.ts") && scenes.has(name);
    expect(isScene || source.includes(`"${name}`) || source.includes(`\`${name}`), name).toBe(true);
  });
});
