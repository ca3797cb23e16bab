import { PolargradError } from "../tensor/errors.ts";
import { openScope, track } from "../tensor/scope.ts";
import { isVariable, newestTensorId, Tensor } from "../tensor/tensor.ts";

/**
 * Run `f` and free every tensor made inside, except what it returns (in arrays, maps and objects too) and what the backward sweep
 * of a returned tensor will read: the sweep frees that.
 *
 * @param f synchronous; an async function is refused, because other code would run inside its scope
 */
export function tidy<T>(f: () => T): T {
  const scope = openScope();
  const before = newestTensorId();
  let result: T;
  try {
    result = f();
  } catch (error) {
    for (const tensor of scope.close()) tensor.dispose();
    throw error;
  }
  const created = scope.close();
  if (result instanceof Promise) {
    for (const tensor of created) track(tensor);
    throw new PolargradError("tidy() takes a synchronous function; await the data outside of it");
  }
  const returned = new Set<Tensor>();
  collect(result, returned, new Set());
  const needed = neededBy(returned, before);
  for (const tensor of created) {
    if (tensor instanceof Tensor && needed.has(tensor)) {
      if (!returned.has(tensor)) tensor.ownedByTape = true;
      track(tensor);
    } else {
      tensor.dispose();
    }
  }
  return result;
}

/** The tensors inside a value. */
function collect(value: unknown, into: Set<Tensor>, seen: Set<object>): void {
  if (typeof value !== "object" || value === null || seen.has(value) || ArrayBuffer.isView(value)) return;
  seen.add(value);
  if (value instanceof Tensor) {
    into.add(value);
    if (value.grad) into.add(value.grad);
    return;
  }
  const members = value instanceof Map || value instanceof Set ? value.values() : Object.values(value);
  for (const member of members) collect(member, into, seen);
}

/** `roots`, and what the sweeps of their graphs read or give a gradient, as far as it was made after the tensor with id `before`. */
function neededBy(roots: ReadonlySet<Tensor>, before: number): Set<Tensor> {
  const needed = new Set(roots);
  const reached = new Set(roots);
  const stack = [...roots];
  for (let t = stack.pop(); t; t = stack.pop()) {
    if (isVariable(t)) needed.add(t);
    if (!t.node || t.node.freed) continue;
    for (const read of t.node.reads) needed.add(read);
    for (const input of t.node.inputs) {
      // Inputs are older than outputs: nothing behind this one was made here.
      if (input.id <= before || reached.has(input)) continue;
      reached.add(input);
      stack.push(input);
    }
  }
  return needed;
}
