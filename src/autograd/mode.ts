import type { Tensor } from "../tensor/tensor.ts";

let recording = true;
let watcher: ((input: Tensor) => void) | null = null;

/** Whether ops are recorded for `backward()` at this moment. */
export const isGradEnabled = (): boolean => recording;

/**
 * Run `f` without recording. With an async `f` recording stays off until its promise settles, for every op in between.
 *
 * @returns what `f` returns
 */
export const noGrad = <T>(f: () => T): T => withGrad(false, f);

/** Run `f` with recording, inside a `noGrad`. */
export const enableGrad = <T>(f: () => T): T => withGrad(true, f);

/** Run `f` with recording on or off and restore the mode after it, also when it throws. */
export function withGrad<T>(on: boolean, f: () => T): T {
  const before = recording;
  const restore = (): void => {
    recording = before;
  };
  recording = on;
  let pending = false;
  try {
    const result = f();
    if (result instanceof Promise) {
      pending = true;
      return result.finally(restore) as T;
    }
    return result;
  } finally {
    if (!pending) restore();
  }
}

/** Report every op input that requires a gradient while `f` runs; `checkpoint` learns from it what `f` captured. */
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
  for (const input of inputs) if (input.requiresGrad) watcher(input);
}
