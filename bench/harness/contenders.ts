import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { SideName, SideOptions } from "../sides/index.ts";
import type { Contender } from "./contest.ts";
import { NotHere } from "./errors.ts";
import { pythonWith } from "./machine.ts";
import { removeAtExit, ROOT } from "./paths.ts";

/** This run's own, so that runs side by side do not meet; below the repository, so that packages are found. */
const BUILD = join(ROOT, ".cache", "bench", String(process.pid));
let isBuilt = false;

/** Compile the sides and the library as it is now: the machine's own Node may not run TypeScript. */
function build(): void {
  if (isBuilt) return;
  removeAtExit(BUILD);
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", join(ROOT, "bench"), "--outDir", BUILD], { encoding: "utf8" });
  if (status !== 0) throw new Error(`the benchmark did not compile:\n${stdout}`);
  isBuilt = true;
}

/** How a side is run. */
export interface SideSettings {
  /** Default: "polargrad". */
  readonly name?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Path of the Node to run it on. Default: this one. */
  readonly node?: string;
}

/** One of the library's own sides as a contender. */
export function polargrad<N extends SideName>(side: N, options: SideOptions<N>, settings: SideSettings = {}): Contender {
  build();
  const { name = "polargrad", env = {}, node = process.execPath } = settings;
  return { name, command: node, args: [join(BUILD, "bench", "side.js"), side, JSON.stringify(options)], env };
}

/** A peer written in Python. @throws NotHere where no Python has the modules that it needs */
export function pythonPeer(name: string, script: string, args: readonly string[], modules: readonly string[]): Contender {
  const python = pythonWith(modules);
  if (!python) throw new NotHere(`no Python here can import ${modules.join(", ")}`);
  return { name, command: python, args: [join(ROOT, "bench", "peers", script), ...args], env: { HF_HUB_OFFLINE: "1", PYTHONDONTWRITEBYTECODE: "1" } };
}

/** A peer written in JavaScript, on this Node. It says itself when its library is not installed. */
export const javaScriptPeer = (name: string, script: string, args: readonly string[], env: Readonly<Record<string, string>>): Contender => ({
  name,
  command: process.execPath,
  args: [join(ROOT, "bench", "peers", script), ...args],
  env,
});

/** The contender, or nothing where the machine does not have it: figures stand without their peers. */
export function ifHere(make: () => Contender): Contender[] {
  try {
    return [make()];
  } catch (error) {
    if (error instanceof NotHere) return [];
    throw error;
  }
}
