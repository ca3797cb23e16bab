import { cast, noGrad, to } from "../ops/index.ts";
import { isStored } from "../tensor/dtype.ts";
import { PolargradError } from "../tensor/errors.ts";
import { Parameter } from "../tensor/parameter.ts";
import { keep } from "../tensor/scope.ts";
import type { Device } from "../tensor/storage.ts";
import { Tensor } from "../tensor/tensor.ts";
import { converted, put, replaceGrad, type Slot } from "./slot.ts";
import { compareStateDicts, StateDictError } from "./state-dict.ts";

/** A module of one tensor to one tensor: what an adapter can take the place of. */
export interface TensorModule extends Module {
  forward(x: Tensor): Tensor;
}

/** What a state dict did not have, or had too much, after `loadStateDict(…, { strict: false })`. */
export interface LoadReport {
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
}

const snakeCase = (field: string): string => field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/**
 * A part of a model. Parameters, buffers and submodules are its own fields (or the elements of an array or
 * Map in a field), and are found by looking at them: `selfAttn.qProj.weight` is `self_attn.q_proj.weight` in
 * the state dict, `layers[0]` is `layers.0`, the entry "a" of a Map `heads` is `heads.a`. `forward` must read
 * its fields at every call, so that a submodule can be replaced.
 */
export class Module {
  /** State-dict names of fields whose name is not simply the field's in snake case. */
  static readonly stateNames: Readonly<Record<string, string>> = {};
  /**
   * Fields that hold a Tensor (or a Map or array of them) which is saved and moved but not trained. Wrap
   * their values in `keep`.
   */
  static readonly buffers: readonly string[] = [];
  /** Fields that hold a Tensor which moves with the module but is neither saved nor trained nor counted. */
  static readonly transient: readonly string[] = [];

  /** Set by `train()` and `eval()`; layers such as Dropout read it. */
  training = true;

  /**
   * State-dict name of the tensor that the submodule at `member` calls `inner`, for classes that spell it
   * otherwise.
   */
  tensorName(member: string, inner: string): string {
    return `${member}.${inner}`;
  }

  /** This module (as "") and all below it with their paths, depth first. */
  namedModules(): [string, Module][] {
    const found = new Map<Module, string>();
    const visit = (module: Module, path: string): void => {
      if (found.has(module)) return;
      found.set(module, path);
      for (const { name, value } of slotsOf(module)) {
        if (value instanceof Module) visit(value, path === "" ? name : `${path}.${name}`);
      }
    };
    visit(this, "");
    return [...found].map(([module, path]) => [path, module]);
  }

  /**
   * Parameters with their state-dict names, in PyTorch's order; a shared one is listed once, under its first
   * name.
   */
  namedParameters(): [string, Parameter][] {
    const found = new Map<Parameter, string>();
    for (const { name, value } of tensorsOf(this)) {
      if (value instanceof Parameter && !found.has(value)) found.set(value, name);
    }
    return [...found].map(([parameter, name]) => [name, parameter]);
  }

  /** Parameters, each once. */
  parameters(): Parameter[] {
    return this.namedParameters().map(([, parameter]) => parameter);
  }

  /** Number of elements of all parameters, each counted once. */
  numParameters(options: { readonly onlyTrainable?: boolean } = {}): number {
    const counted = this.parameters().filter(({ requiresGrad }) => requiresGrad || !options.onlyTrainable);
    return counted.reduce((sum, { size }) => sum + size, 0);
  }

  /**
   * Parameters and buffers by name; a shared one stands under each of its names. They are the module's own:
   * do not dispose of them.
   */
  stateDict(): Map<string, Tensor> {
    return new Map([...tensorsOf(this)].map(({ name, value }) => [name, value]));
  }

  /**
   * Take over the values of a state dict (their elements are shared, not copied), converted to this module's
   * dtypes and devices.
   *
   * @param options `strict` (default true): every key must be there, and no other
   * @throws StateDictError that lists all keys that are missing, unexpected or of another shape; then nothing
   * was loaded
   */
  loadStateDict(state: ReadonlyMap<string, Tensor>, options: { readonly strict?: boolean } = {}): LoadReport {
    const { strict = true } = options;
    const { missing, unexpected, mismatched } = compareStateDicts(this.stateDict(), state);
    if (mismatched.length > 0 || (strict && missing.length + unexpected.length > 0)) {
      const problems = strict
        ? { missing, unexpected, mismatched }
        : { missing: [], unexpected: [], mismatched };
      throw new StateDictError("the state dict", this.constructor.name, problems);
    }
    const loads = [...tensorsOf(this)].flatMap((slot) => {
      const given = state.get(slot.name);
      return given ? [{ slot, next: converted(given, slot) }] : [];
    });
    for (const { slot, next } of loads) put(slot, next);
    return { missing, unexpected };
  }

  /** Training mode on (or off) here and below. */
  train(mode = true): this {
    for (const [, module] of this.namedModules()) module.training = mode;
    return this;
  }

  /** Training mode off here and below. */
  eval(): this {
    return this.train(false);
  }

  /** Let all parameters below require a gradient, or (false) freeze them. @throws PolargradError for stored formats */
  requiresGrad_(flag = true): this {
    const stored = flag && this.namedParameters().find(([, { dtype }]) => isStored(dtype));
    if (stored) {
      const [name, { dtype }] = stored;
      throw new PolargradError(`"${name}" is ${dtype}, which carries no gradient; load the model with dtype: "f32" to train it`);
    }
    for (const parameter of this.parameters()) parameter.requiresGrad = flag;
    return this;
  }

  /** Forget the gradients of all parameters. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) {
      parameter.grad?.dispose();
      parameter.grad = null;
    }
  }

  /** Where the first parameter or buffer is; the CPU without any. */
  get device(): Device {
    return tensorsOf(this).next().value?.value.device ?? "cpu";
  }

  /**
   * Move parameters, gradients and buffers to a device. Nothing has moved when it throws.
   *
   * @throws DeviceError when the device is not open, ArgumentError for f64 to webgpu
   */
  async to(device: Device): Promise<this> {
    const moves: { apply: () => void; next: Tensor }[] = [];
    const seen = new Set<Tensor>();
    try {
      for (const slot of [...tensorsOf(this, true)]) {
        if (slot.value.device === device || (slot.value instanceof Parameter && seen.has(slot.value)))
          continue;
        seen.add(slot.value);
        const next = await to(slot.value, device);
        moves.push({ apply: () => put(slot, next), next });
        const { value } = slot;
        if (!value.grad) continue;
        const grad = await to(value.grad, device);
        moves.push({ apply: () => replaceGrad(value, grad), next: grad });
      }
    } catch (error) {
      for (const { next } of moves) next.dispose();
      throw error;
    }
    for (const { apply } of moves) apply();
    return this;
  }

  /**
   * A module of the same class with parameters and buffers of its own, which start with these values. Stored
   * formats that cannot be trained become f32.
   */
  clone(): this {
    return cloned(this, new Map());
  }

  /** The module at a path such as `model.layers.0.self_attn`; this one for "". */
  getSubmodule(path: string): Module {
    return path === "" ? this : submodule(this, path).value;
  }

  /** Put another module in the place of the one at `path`. */
  setSubmodule(path: string, module: Module): void {
    submodule(this, path).replace(module);
  }
}

/**
 * The direct members of a module in PyTorch's order: own parameters, own buffers, then submodules and containers as
 * they were assigned.
 */
function slotsOf(module: Module): Slot<Tensor | Module>[] {
  const { stateNames, buffers, transient } = module.constructor as typeof Module;
  const slots: { rank: number; slot: Slot<Tensor | Module> }[] = [];
  for (const [field, value] of Object.entries(module)) {
    const name = stateNames[field] ?? snakeCase(field);
    const isTransient = transient.includes(field);
    const isBuffer = isTransient || buffers.includes(field);
    const push = (slotName: string, item: unknown, rank: number, replace: (next: unknown) => void): void => {
      const isSlot = item instanceof Module || item instanceof Parameter || (isBuffer && item instanceof Tensor);
      if (isSlot) slots.push({ rank, slot: { name: slotName, value: item, isTransient, replace } });
    };
    if (Array.isArray(value)) {
      value.forEach((item: unknown, i) => {
        push(`${name}.${i}`, item, 2, (next) => value.splice(i, 1, next));
      });
    } else if (value instanceof Map) {
      for (const [key, item] of value) push(`${name}.${key}`, item, 2, (next) => value.set(key, next));
    } else {
      const rank = value instanceof Parameter ? 0 : isBuffer ? 1 : 2;
      push(name, value, rank, (next) => Reflect.set(module, field, next));
    }
  }
  return slots.sort((a, b) => a.rank - b.rank).map(({ slot }) => slot);
}

/** Parameters and buffers below a module, aliases included; transient ones if asked for. */
function* tensorsOf(module: Module, withTransient = false): Generator<Slot<Tensor>, undefined> {
  for (const slot of slotsOf(module)) {
    const { name, value, isTransient, replace } = slot;
    if (value instanceof Module) {
      for (const inner of tensorsOf(value, withTransient))
        yield { ...inner, name: module.tensorName(name, inner.name) };
    } else if (withTransient || !isTransient) {
      yield { name, value, isTransient, replace };
    }
  }
}

function submodule(module: Module, path: string): Slot<Module> {
  const modules = slotsOf(module).filter((slot): slot is Slot<Module> => slot.value instanceof Module);
  for (const slot of modules) {
    if (path === slot.name) return slot;
    if (path.startsWith(`${slot.name}.`)) return submodule(slot.value, path.slice(slot.name.length + 1));
  }
  const names = modules.map(({ name }) => name).join(", ") || "no submodules";
  throw new PolargradError(`${module.constructor.name} has no submodule "${path}"; it has ${names}`);
}

/** A copy of a module's fields, in which what was one object is one object again. */
function cloned<T>(value: T, done: Map<unknown, unknown>): T {
  if (typeof value !== "object" || value === null) return value;
  const before = done.get(value);
  if (before !== undefined) return before as T;
  const remember = <C>(copy: C): C => {
    done.set(value, copy);
    return copy;
  };
  if (value instanceof Parameter) return remember(clonedParameter(value)) as T;
  if (value instanceof Tensor) return remember(keep(value.detach())) as T;
  if (value instanceof Map) {
    const copy = remember(new Map<unknown, unknown>());
    for (const [key, item] of value) copy.set(key, cloned(item, done));
    return copy as T;
  }
  if (Array.isArray(value)) {
    const copy: unknown[] = remember([]);
    for (const item of value) copy.push(cloned(item, done));
    return copy as T;
  }
  if (!(value instanceof Module)) return value;
  const copy = remember(Object.create(Object.getPrototypeOf(value)));
  for (const [field, item] of Object.entries(value)) Reflect.set(copy, field, cloned(item, done));
  return copy;
}

/** Values are shared until one of the two is assigned to. */
function clonedParameter(parameter: Parameter): Parameter {
  if (!isStored(parameter.dtype)) return new Parameter(parameter, { requiresGrad: parameter.requiresGrad });
  const decoded = noGrad(() => cast(parameter, { dtype: "f32" }));
  const clone = new Parameter(decoded, { requiresGrad: false });
  decoded.dispose();
  return clone;
}
