import { basename, dirname, join } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { importsOf, nodesOf, parse, sourceFiles, textOf } from "./sources.ts";

/** What each layer may import; absent means forbidden. `index.ts` is the barrel of ".". */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  tensor: [],
  linalg: ["tensor"],
  autograd: ["tensor"],
  cpu: ["tensor", "node:"],
  gpu: ["tensor", "node:", "npm:webgpu"],
  ops: ["tensor", "autograd", "cpu", "gpu", "npm:typed-function"],
  io: ["tensor", "node:", "npm:@huggingface/tokenizers"],
  nn: ["tensor", "ops", "io"],
  delora: ["tensor", "linalg", "ops", "nn", "io"],
  train: ["tensor", "ops", "nn", "io", "delora"],
  testing: ["tensor", "autograd", "ops", "npm:fast-check"],
  cli: [
    "tensor",
    "autograd",
    "cpu",
    "gpu",
    "ops",
    "io",
    "nn",
    "delora",
    "linalg",
    "train",
    "testing",
    "node:",
    "npm:commander",
    "npm:cli-progress",
  ],
  "index.ts": ["tensor", "autograd", "gpu", "ops"],
};

/** Imports that have one home each, beyond the layer. */
const ONLY_IN: Readonly<Record<string, readonly string[]>> = {
  webgpu: ["src/gpu/device.ts"],
  "typed-function": ["src/ops/apply.ts"],
  "node:fs": ["src/io/files.ts", "src/gpu/device.ts"],
  "node:fs/promises": ["src/io/files.ts"],
};

const files = sourceFiles("src");
const layerOf = (file: string): string => file.split("/")[1];
const targetOf = (file: string, spec: string): string => {
  if (spec.startsWith(".")) return join(dirname(file), spec);
  return spec.startsWith("node:") ? "node:" : `npm:${spec}`;
};

it("knows every layer", () => {
  expect(files.map(layerOf).filter((layer) => !MAY_IMPORT[layer])).toEqual([]);
});

it.each(files)("%s imports only what its layer may", (file) => {
  for (const spec of importsOf(file)) {
    const target = targetOf(file, spec);
    const layer = target.startsWith("src/") ? layerOf(target) : target;
    expect(target, "nothing imports the barrel").not.toBe("src/index.ts");
    if (layer !== layerOf(file))
      expect(MAY_IMPORT[layerOf(file)], `${file} imports ${spec}`).toContain(layer);
    const homes = layerOf(file) === "cli" && spec.startsWith("node:") ? undefined : ONLY_IN[spec];
    if (homes) expect(homes, `${file} imports ${spec}`).toContain(file);
  }
});

it("has no import cycle", () => {
  const graph = new Map(
    files.map((file) => [
      file,
      importsOf(file)
        .map((spec) => targetOf(file, spec))
        .filter((target) => target.startsWith("src/")),
    ]),
  );
  expect(cycleIn(graph)).toEqual([]);
});

/** The files of one cycle, or []. */
function cycleIn(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string[] => {
    const at = path.indexOf(file);
    if (at >= 0) return [...path.slice(at), file];
    if (done.has(file)) return [];
    for (const next of graph.get(file) ?? []) {
      const cycle = visit(next, [...path, file]);
      if (cycle.length > 0) return cycle;
    }
    done.add(file);
    return [];
  };
  for (const file of graph.keys()) {
    const cycle = visit(file, []);
    if (cycle.length > 0) return cycle;
  }
  return [];
}

describe("budget", () => {
  const all = ["src", "test", "scripts", "examples", "bench"].flatMap(sourceFiles);

  it("keeps files to 300 lines", () => {
    expect(
      all
        .map((file) => [textOf(file).trimEnd().split("\n").length, file])
        .filter(([lines]) => Number(lines) > 300),
    ).toEqual([]);
  });

  it("keeps functions to 60 lines", () => {
    const code = all.filter((file) => !file.endsWith(".test.ts"));
    expect(code.flatMap(longFunctions)).toEqual([]);
  });

  it("names files in kebab-case", () => {
    expect(
      all.filter((file) => !/^[a-z0-9]+(-[a-z0-9]+)*((\.gpu)?\.test|\.test-d)?\.ts$/.test(basename(file))),
    ).toEqual([]);
  });
});

/** `file:line (length)` of each function of more than 60 lines. */
function longFunctions(file: string): string[] {
  const source = parse(file);
  const line = (position: number): number => source.getLineAndCharacterOfPosition(position).line + 1;
  return [...nodesOf(source)].flatMap((node) => {
    if (!ts.isFunctionLike(node) || !("body" in node) || !node.body) return [];
    const length = line(node.getEnd()) - line(node.getStart()) + 1;
    return length > 60 ? [`${file}:${line(node.getStart())} (${length} lines)`] : [];
  });
}
