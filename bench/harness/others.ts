import { cpus } from "node:os";

/** Cores that other processes may use before ratios become chance: a thread that waits for a core holds up all the others. */
export const BUSY = 0.2;

let busyMs = 0;
let wallMs = 0;

/** Forget what was counted. */
export function countAnew(): void {
  busyMs = 0;
  wallMs = 0;
}

/** Counts what others do while `work` runs, which says itself how much CPU time it took. */
export async function countOthers<T extends { readonly cpuMs?: number }>(work: () => Promise<T>): Promise<T> {
  const [start, before] = [performance.now(), allBusyMs()];
  const done = await work();
  wallMs += performance.now() - start;
  busyMs += allBusyMs() - before - (done.cpuMs ?? 0);
  return done;
}

/** Cores that other processes kept busy, on average, while contenders worked; null when none did. */
export const coresOfOthers = (): number | null => (wallMs > 0 ? Math.max(0, Math.round((100 * busyMs) / wallMs) / 100) : null);

const allBusyMs = (): number => cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
