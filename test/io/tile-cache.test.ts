import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

let home = "";
let warnings: string[];
let cache: (typeof import("../../src/io/tile-cache.ts"))["tileCache"];
const fileOf = (): string => join(home, "polargrad", "tiles.json");

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "polargrad-cache-"));
  vi.stubEnv("XDG_CACHE_HOME", home);
  warnings = [];
  vi.spyOn(console, "warn").mockImplementation((line: string) => void warnings.push(line));
  // It warns once a process.
  vi.resetModules();
  cache = (await import("../../src/io/tile-cache.ts")).tileCache;
});
afterEach(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await rm(home, { recursive: true });
});

it("knows nothing at first, and then what it was told of each GPU", async () => {
  expect(await cache.read("a | b")).toBe(null);
  await cache.write("a | b", ["64x64x16"]);
  await cache.write("__proto__", ["32x32x8"]);
  expect(await cache.read("a | b")).toEqual(["64x64x16"]);
  expect(await cache.read("__proto__")).toEqual(["32x32x8"]);
  expect(await cache.read("constructor")).toBe(null);
  expect(await readdir(join(home, "polargrad"))).toEqual(["tiles.json"]);
  expect(JSON.parse(await readFile(fileOf(), "utf8")).version).toBe(1);
  expect(warnings).toEqual([]);
});

it.each([
  "{",
  "[]",
  "null",
  "\u0000\ufffd",
  '{"version": "1"}',
  '{"version": 1, "gpus": []}',
  '{"version": 1, "gpus": {"g": "64x64x16"}}',
  '{"version": 1, "gpus": {"g": ["64x64x16"], "h": [1]}}',
])("ignores the broken file %s with one warning, and replaces it", async (text) => {
  await mkdir(join(home, "polargrad"));
  await writeFile(fileOf(), text);
  expect([await cache.read("g"), await cache.read("g")]).toEqual([null, null]);
  expect(warnings.length).toBe(1);
  expect(warnings[0]).toContain(fileOf());
  expect(warnings[0]).toContain("POLARGRAD_AUTOTUNE=off");
  await cache.write("g", ["32x32x8"]);
  expect(await cache.read("g")).toEqual(["32x32x8"]);
  expect(warnings.length).toBe(1);
});

it("measures again after another version, without a word", async () => {
  await mkdir(join(home, "polargrad"));
  await writeFile(fileOf(), '{"version": 2, "gpus": {"g": ["64x64x16"]}}');
  expect([await cache.read("g"), warnings.length]).toEqual([null, 0]);
});

it("warns once where the file cannot be written", async () => {
  await writeFile(join(home, "polargrad"), "in the way");
  await cache.write("g", ["32x32x8"]);
  await cache.write("g", ["32x32x8"]);
  expect(warnings.length).toBe(1);
  expect(warnings[0]).toContain("does not keep measured kernels");
  expect(await readFile(join(home, "polargrad"), "utf8")).toBe("in the way");
});

it("lies in ~/.cache where XDG_CACHE_HOME is not an absolute path", async () => {
  for (const cacheHome of ["", "relative"]) {
    vi.stubEnv("XDG_CACHE_HOME", cacheHome);
    vi.stubEnv("HOME", home);
    await cache.write("g", [cacheHome || "none"]);
    expect(await readFile(join(home, ".cache", "polargrad", "tiles.json"), "utf8")).toContain(cacheHome || "none");
  }
});
