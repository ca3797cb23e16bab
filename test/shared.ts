import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const missing = new Set<string>();

/**
 * Path of a reference file in `../shared` beside the repository, or null (and one printed line) where it is absent. Use it
 * with `it.skipIf(path === null)`.
 */
export function sharedPath(relative: string): string | null {
  const path = fileURLToPath(new URL(`../../shared/${relative}`, import.meta.url));
  if (existsSync(path)) return path;
  if (!missing.has(relative)) console.warn(`skipped: ../shared/${relative} is not beside the repository`);
  missing.add(relative);
  return null;
}
