import { PolargradError } from "../tensor/errors.ts";

/**
 * A setting of an adapter that is unknown, out of range, or beyond what this library does. `field` is
 * PEFT's name of it.
 */
export class AdapterConfigError extends PolargradError {
  override readonly name = "AdapterConfigError";
  readonly field: string;
  readonly value: unknown;

  constructor(field: string, value: unknown, why: string) {
    super(why);
    this.field = field;
    this.value = value;
  }
}

/** Target modules that match nothing in the model, or match something that cannot be adapted. */
export class TargetModulesError extends PolargradError {
  override readonly name = "TargetModulesError";
  readonly targetModules: string | readonly string[];

  constructor(targetModules: string | readonly string[], why: string) {
    super(why);
    this.targetModules = targetModules;
  }
}

/**
 * Why an adapter directory cannot be used:
 *
 * - `missing-config`, `missing-weights`: the file is not there
 * - `pickle`: there is only an `adapter_model.bin`
 * - `size-mismatch`: a tensor has another shape than the adapter of this config on this model
 * - `missing-tensor`: the file lacks a tensor of an adapter that it is inspected for
 * - `not-floats`: a tensor holds integers or a float format that cannot be read
 */
export type AdapterFileErrorCode =
  | "missing-config"
  | "missing-weights"
  | "pickle"
  | "size-mismatch"
  | "missing-tensor"
  | "not-floats";

/** An adapter directory that lacks a file, or whose tensors do not fit the model. */
export class AdapterFileError extends PolargradError {
  override readonly name = "AdapterFileError";
  readonly code: AdapterFileErrorCode;
  /** The directory. */
  readonly dir: string;
  /** Names of the tensors concerned, as in the model. */
  readonly tensors: readonly string[];

  constructor(code: AdapterFileErrorCode, dir: string, why: string, tensors: readonly string[] = []) {
    super(why);
    this.code = code;
    this.dir = dir;
    this.tensors = tensors;
  }
}

/** An adapter that is asked for and not there, or is there already, or has a name that cannot be used. */
export class AdapterError extends PolargradError {
  override readonly name = "AdapterError";
  readonly adapterName: string;

  constructor(adapterName: string, why: string) {
    super(why);
    this.adapterName = adapterName;
  }
}
