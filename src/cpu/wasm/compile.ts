import type { WasmMemory } from "../../tensor/heap.ts";

/** V8 options that a kernel may want while it is compiled; browsers and other engines have none of them. */
type V8Option =
  | "experimental-wasm-relaxed-simd"
  | "experimental-wasm-revectorize"
  | "liftoff"
  | "wasm-lazy-compilation";

/** A compiled module: threads instantiate it again. */
export type WasmModule = object;

/** What the kernels need of the global, which the compiler's `es` and Node 20 libraries do not declare. */
declare const WebAssembly: {
  validate(bytes: Uint8Array<ArrayBuffer>): boolean;
  Module: new (bytes: Uint8Array<ArrayBuffer>) => WasmModule;
  Instance: new (module: WasmModule, imports: object) => { readonly exports: Readonly<Record<string, unknown>> };
};

/** The first Node that folds pairs of 128-bit operations into 256-bit ones, which V8 does on x64 only. */
const REVECTORIZE_SINCE = 24;
/** The last Node where relaxed SIMD exists behind an option. */
const RELAXED_BEHIND_OPTION = 20;

/** Whether this engine can be asked for 256-bit code. If that helps depends on the processor: measure. */
export function canRevectorize(): boolean {
  return nodeMajor() >= REVECTORIZE_SINCE && process.arch === "x64";
}

/**
 * The module of these bytes, or null where the engine refuses its instructions. In Node it is optimised at
 * once, with 256-bit code if `revectorize` says so; the V8 options hold for this one compilation and are then
 * back at V8's defaults.
 */
export function compileModule(bytes: Uint8Array<ArrayBuffer>, revectorize: boolean): WasmModule | null {
  const on: V8Option[] = [];
  if (revectorize) on.push("experimental-wasm-revectorize");
  if (nodeMajor() === RELAXED_BEHIND_OPTION) on.push("experimental-wasm-relaxed-simd");
  const off: V8Option[] = nodeMajor() > 0 ? ["liftoff", "wasm-lazy-compilation"] : [];
  setV8Options(on, off);
  try {
    return WebAssembly.validate(bytes) ? new WebAssembly.Module(bytes) : null;
  } finally {
    setV8Options(off, on);
  }
}

/** The exports of a module's new instance over a memory. */
export function instantiate(module: WasmModule, memory: WasmMemory): Readonly<Record<string, unknown>> {
  return new WebAssembly.Instance(module, { env: { memory } }).exports;
}

/** Node's major version, 0 where this is not Node (a browser, Bun, Deno). */
export function nodeMajor(): number {
  if (typeof process === "undefined" || process.versions?.node === undefined) return 0;
  if (process.versions.bun !== undefined || process.versions.deno !== undefined) return 0;
  return Number.parseInt(process.versions.node, 10);
}

function setV8Options(on: readonly V8Option[], off: readonly V8Option[]): void {
  if (on.length + off.length === 0) return;
  const v8 = process.getBuiltinModule("node:v8");
  for (const option of on) v8.setFlagsFromString(`--${option}`);
  for (const option of off) v8.setFlagsFromString(`--no-${option}`);
}
