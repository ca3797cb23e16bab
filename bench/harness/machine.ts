import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { delimiter, join } from "node:path";
import { ROOT } from "./paths.ts";

/** What figures depend on. No path, user or host name. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly platform: string;
  readonly node: string;
}

/** This machine. */
export const machine = (): Machine => ({
  cpu: cpus()[0]?.model.trim() ?? "unknown",
  cores: availableParallelism(),
  memoryGb: Math.round(totalmem() / 1e9),
  platform: `${process.platform} ${process.arch}`,
  node: process.version,
});

/** A Node to run on. */
export interface Engine {
  readonly path: string;
  readonly version: string;
}

/** The Node that this runs on, and the machine's own where that is another version. */
export function engines(): Engine[] {
  const own = { path: process.execPath, version: process.version };
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => !folder.includes("node_modules"));
  const candidates = [process.env.npm_node_execpath, ...folders.map((folder) => join(folder, "node"))];
  for (const path of candidates) {
    if (!path || !existsSync(path)) continue;
    const version = spawnSync(path, ["--version"], { encoding: "utf8" }).stdout?.trim();
    if (version && version !== own.version) return [own, { path, version }];
  }
  return [own];
}

const pythons = new Map<string, string | null>();

/**
 * A Python that can import these modules, or null: the one that POLARGRAD_ORACLE_PYTHON names, the one that CI builds in .cache/oracle,
 * or `python3`.
 */
export function pythonWith(modules: readonly string[]): string | null {
  const wanted = `import ${modules.join(", ")}`;
  const known = pythons.get(wanted);
  if (known !== undefined) return known;
  const candidates = [process.env.POLARGRAD_ORACLE_PYTHON, join(ROOT, ".cache", "oracle", "bin", "python"), "python3"];
  const found = candidates.find((path) => path && spawnSync(path, ["-c", wanted], { stdio: "ignore" }).status === 0) ?? null;
  pythons.set(wanted, found);
  return found;
}
