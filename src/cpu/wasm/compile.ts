/** V8 options that a kernel may want while it is compiled; browsers and other engines have none of them. */
type V8Option =
  | "experimental-wasm-relaxed-simd"
  | "experimental-wasm-revectorize"
  | "liftoff"
  | "wasm-lazy-compilation";

/** What the kernels need of the global, which the compiler's `es` and Node 20 libraries do not declare. */
declare const WebAssembly: {
  validate(bytes: Uint8Array<ArrayBuffer>): boolean;
  Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  Instance: new (module: object) => { readonly exports: unknown };
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
 * The exports of a module's new instance, or null where the engine refuses its instructions. In Node the
 * module is optimised at once, with 256-bit code if `revectorize` says so; the V8 options hold for this one
 * compilation and are then back at V8's defaults.
 */
export function instantiate(bytes: Uint8Array<ArrayBuffer>, revectorize: boolean): unknown {
  const on: V8Option[] = [];
  if (revectorize) on.push("experimental-wasm-revectorize");
  if (nodeMajor() === RELAXED_BEHIND_OPTION) on.push("experimental-wasm-relaxed-simd");
  const off: V8Option[] = nodeMajor() > 0 ? ["liftoff", "wasm-lazy-compilation"] : [];
  setV8Options(on, off);
  try {
    if (!WebAssembly.validate(bytes)) return null;
    return new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
  } finally {
    setV8Options(off, on);
  }
}

/** Node's major version, 0 where this is not Node (a browser, Bun, Deno). */
function nodeMajor(): number {
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
