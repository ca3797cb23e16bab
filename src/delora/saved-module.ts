import { Module } from "../nn/module.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A module that can be run. */
type Runs = Module & { forward(...inputs: unknown[]): Tensor };

/**
 * A module of which adapters have copies of their own (PEFT's `modules_to_save`), in its place in a model. The
 * copy of the active adapter answers; the module itself where there is none.
 */
export class SavedModule extends Module {
  readonly originalModule: Module;
  /** The copies by adapter. */
  readonly modulesToSave = new Map<string, Module>();
  /** Name of the adapter whose copy answers; null for none. */
  activeAdapter: string | null = null;
  /** False: the module itself answers. */
  enabled = true;

  constructor(originalModule: Module) {
    super();
    this.originalModule = originalModule;
    this.training = originalModule.training;
  }

  /** The module that answers now. */
  get current(): Module {
    const copy = this.activeAdapter === null ? undefined : this.modulesToSave.get(this.activeAdapter);
    return this.enabled && copy ? copy : this.originalModule;
  }

  /** What the current module gives. */
  forward(...inputs: unknown[]): Tensor {
    return (this.current as Runs).forward(...inputs);
  }
}
