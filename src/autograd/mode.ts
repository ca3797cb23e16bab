import type { Tensor } from "../tensor/tensor.ts";

/** Set by the innermost `noGrad` or `enableGrad` whose function is on the stack. */
let forced: boolean | null = null;
/** Async `noGrad` functions that have not settled. */
let pendingOff = 0;
let watcher: ((input: Tensor) => void) | null = null;

/** Whether ops are recorded for `backward()` at this moment. */
export const isGradEnabled = (): boolean => forced ?? pendingOff === 0;

/**
 * Run `f` without recording. With an async `f` recording stays off until its promise settles, for every op in between.
 *
 * @returns what `f` returns
 */
export function noGrad<T>(f: () => T): T {
  const result = withGrad(false, f);
  if (!(result instanceof Promise)) return result;
  pendingOff++;
  return result.finally(() => pendingOff--) as T;
}

/** Run a synchronous `f` with recording, inside a `noGrad`. */
export const enableGrad = <T>(f: () => T): T => withGrad(true, f);

/** Run `f` with recording on or off and restore the mode when it returns or throws. */
export function withGrad<T>(on: boolean, f: () => T): T {
  const before = forced;
  forced = on;
  try {
    return f();
  } finally {
    forced = before;
  }
}

/** Report every op input while `f` runs; `checkpoint` learns from it what `f` captured. */
export function watchInputs<T>(onInput: (input: Tensor) => void, f: () => T): T {
  const before = watcher;
  watcher = (input) => {
    before?.(input);
    onInput(input);
  };
  try {
    return f();
  } finally {
    watcher = before;
  }
}

/** Tell a watching `checkpoint` about an op's inputs. */
export function reportInputs(inputs: readonly Tensor[]): void {
  if (!watcher) return;
  for (const input of inputs) watcher(input);
}
