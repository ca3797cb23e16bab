import { philox } from "../tensor/generator.ts";

/** The rows of an epoch in an order that seed and epoch determine (Fisher-Yates with Philox 4x32-10). */
export function shuffled<T>(rows: readonly T[], seed: number, epoch: number): T[] {
  const order = [...rows];
  const words = new Uint32Array(4);
  for (let i = order.length - 1; i > 0; i--) {
    philox([i, epoch, 0, 2], [seed >>> 0, 0], words);
    const j = Math.floor((words[0] / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** Consecutive groups of `size`; the last may be smaller. */
export function batchesOf<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}
