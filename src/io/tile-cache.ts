import { exists, joinPath, readJson, writeDirectoryFiles } from "./files.ts";

/** Raise it when other tiles may win: what was measured before is then measured again. */
const VERSION = 1;
const FILE = "tiles.json";

type Tiles = Record<string, readonly string[]>;

/** XDG_CACHE_HOME/polargrad or ~/.cache/polargrad; null in a browser. */
async function directory(): Promise<string | null> {
  if (typeof process === "undefined") return null;
  const { homedir } = await import("node:os");
  const { isAbsolute } = await import("node:path");
  const { XDG_CACHE_HOME: cache = "" } = process.env;
  return joinPath(isAbsolute(cache) ? cache : joinPath(homedir(), ".cache"), "polargrad");
}

let warned = false;

function warn(file: string, what: string, error: unknown): void {
  if (warned) return;
  warned = true;
  console.warn(`${what} measured kernels (${error instanceof Error ? error.message : `${file}: ${String(error)}`}); POLARGRAD_AUTOTUNE=off measures none`);
}

/** All entries of the cache file; none, with one warning, where it is broken. */
async function readAll(dir: string): Promise<Tiles> {
  const file = joinPath(dir, FILE);
  try {
    if (!(await exists(file))) return {};
    return parse(await readJson(file, "measured kernels"), file);
  } catch (error) {
    warn(file, "ignores", error);
    return {};
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const isNames = (value: unknown): value is string[] => Array.isArray(value) && value.every((name) => typeof name === "string");

function parse(json: unknown, file: string): Tiles {
  if (!isRecord(json) || typeof json.version !== "number") throw new Error(`${file}: expected an object with a version`);
  if (json.version !== VERSION) return {};
  const { gpus } = json;
  if (!isRecord(gpus) || !Object.values(gpus).every(isNames)) throw new Error(`${file}: gpus: expected lists of names`);
  return gpus as Tiles;
}

/** What `tuneGpu` measured, kept in one small file of the user's cache directory. It can be deleted at any time. */
export const tileCache = {
  /** What was measured on this GPU; null where nothing was, or the file is broken, which warns once. */
  async read(gpu: string): Promise<readonly string[] | null> {
    const dir = await directory();
    const all = dir === null ? {} : await readAll(dir);
    return Object.hasOwn(all, gpu) ? all[gpu] : null;
  },

  /** Adds what was measured; the file is replaced as a whole. Where it cannot be written, that warns once. */
  async write(gpu: string, tiles: readonly string[]): Promise<void> {
    const dir = await directory();
    if (dir === null) return;
    try {
      const gpus = Object.fromEntries([...Object.entries(await readAll(dir)), [gpu, tiles]]);
      await writeDirectoryFiles(dir, new Map([[FILE, `${JSON.stringify({ version: VERSION, gpus }, null, 2)}\n`]]));
    } catch (error) {
      warn(joinPath(dir, FILE), "does not keep", error);
    }
  },
};
