import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Where figures are kept. */
export const RESULTS = join(ROOT, "bench", "results");

const doomed = new Set<string>();
process.once("exit", () => {
  for (const folder of doomed) rmSync(folder, { recursive: true, force: true });
});

/** Removes a folder when this process ends, however it ends. */
export const removeAtExit = (folder: string): void => void doomed.add(folder);

/** Runs `use` with a folder that is gone afterwards. */
export async function inTemporaryFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "polargrad-bench-"));
  removeAtExit(folder);
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    doomed.delete(folder);
  }
}
