/** Anything that a scope can free. */
export interface Disposable {
  dispose(): void;
  /** Told that it lives beyond every scope. */
  settle?(): void;
}

const scopes: Set<Disposable>[] = [];

/** Put a new tensor into the innermost open scope; without one it lives until it is disposed of or collected. */
export function track(tensor: Disposable): void {
  scopes.at(-1)?.add(tensor);
}

/** Take a tensor out of every open scope: it then lives as long as its owner wants (parameters, gradients). */
export function keep<T extends Disposable>(tensor: T): T {
  for (const scope of scopes) scope.delete(tensor);
  tensor.settle?.();
  return tensor;
}

/** Whether a scope is open that will free what is made now. */
export const isInScope = (): boolean => scopes.length > 0;

/** Open a scope; `close` pops it and returns what was created inside. */
export function openScope(): { close(): Set<Disposable> } {
  const scope = new Set<Disposable>();
  scopes.push(scope);
  return {
    close() {
      const at = scopes.lastIndexOf(scope);
      if (at >= 0) scopes.splice(at, 1);
      return scope;
    },
  };
}
