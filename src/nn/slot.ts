import { fromArray } from "../ops/device.ts";
import { cast, noGrad, quantize } from "../ops/index.ts";
import type { CpuStorage } from "../tensor/cpu-storage.ts";
import { isBlock } from "../tensor/dtype.ts";
import { PolargradError } from "../tensor/errors.ts";
import type { PackedStorage } from "../tensor/packed-storage.ts";
import { Parameter } from "../tensor/parameter.ts";
import { keep } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A field of a module that introspection found, or an element of an array or Map in one. */
export interface Slot<T> {
  /** Name below the module in PyTorch's spelling, such as `q_proj` or `layers.0`. */
  readonly name: string;
  readonly value: T;
  /** Moves with the module, but is no part of its state. */
  readonly isTransient: boolean;
  replace(next: T): void;
}

/** A new handle on `given`, in the dtype and on the device of what it replaces. */
export function converted(given: Tensor, { name, value }: Slot<Tensor>): Tensor {
  const { dtype, device } = value;
  if (given.device !== device && given.device !== "cpu") {
    throw new PolargradError(
      `"${name}" is on ${given.device} but its module on ${device}; move it first: await to(t, "${device}")`,
    );
  }
  const convert = (): Tensor => (isBlock(dtype) ? quantize(given, { format: dtype }) : cast(given, { dtype }));
  const same = given.dtype === dtype ? given.detach() : noGrad(convert);
  if (same.device === device) return same;
  const { data } = same.storage as CpuStorage | PackedStorage;
  const uploaded = fromArray(data, same.shape, dtype, device);
  same.dispose();
  return uploaded;
}

/** Replace the value of a parameter, or the buffer itself; takes over `next`. */
export function put({ value, replace }: Slot<Tensor>, next: Tensor): void {
  if (value instanceof Parameter) {
    value.assign(next);
    next.dispose();
  } else {
    replace(keep(next));
    value.dispose();
  }
}

/** Give a tensor another gradient. */
export function replaceGrad(value: Tensor, grad: Tensor): void {
  value.grad?.dispose();
  value.grad = keep(grad);
}
