import { type DType, isFloat, isStored } from "./dtype.ts";
import { PolargradError } from "./errors.ts";
import { keep } from "./scope.ts";
import { formatShape, sameShape } from "./shape.ts";
import { Tensor } from "./tensor.ts";

const isReal = (dtype: DType): boolean => isFloat(dtype) || isStored(dtype);

/** A leaf that a module owns and an optimizer updates. Lives outside `tidy` scopes. */
export class Parameter extends Tensor {
  #version = 0;

  /** Shares the elements of `value`, which stays usable. */
  constructor(value: Tensor, options: { readonly requiresGrad?: boolean } = {}) {
    value.storage.retain();
    super(value.shape, value.storage);
    keep(this);
    this.requiresGrad = options.requiresGrad ?? true;
  }

  /** Counts changes of the value: backward refuses a graph whose parameters have changed since it was recorded. */
  get version(): number {
    return this.#version;
  }

  /** Take the value, device, and float dtype or stored format of a tensor of the same shape. The tensor stays usable. */
  assign(value: Tensor): void {
    if (!sameShape(this.shape, value.shape)) {
      throw new PolargradError(`assign: the parameter is ${formatShape(this.shape)}, the value ${formatShape(value.shape)}`);
    }
    if (isReal(this.dtype) !== isReal(value.dtype)) throw new PolargradError(`assign: the parameter is ${this.dtype}, the value ${value.dtype}; cast it first`);
    if (this.requiresGrad && isStored(value.dtype)) {
      throw new PolargradError(`assign: the parameter requires a gradient, which ${value.dtype} cannot have; set requiresGrad = false or cast the value to "f32"`);
    }
    value.settle();
    this.replaceStorage(value.storage);
    this.#version++;
  }

  /** Count a change of the elements where they are. */
  noteChange(): void {
    this.#version++;
  }
}
