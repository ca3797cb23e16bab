import type { DType } from "../tensor/dtype.ts";
import { ArgumentError } from "../tensor/errors.ts";
import type { OpSpec, Params } from "../tensor/op-spec.ts";
import type { KernelSource } from "./kernel.ts";

/** How an elementwise operand is read: as it lies, or as `(i / inner) % length`, which repeats it along broadcast axes. */
export type Access = "full" | "repeat";

/** What a generated kernel depends on beside its declaration. */
export interface KernelVariant {
  readonly dtypes: readonly DType[];
  readonly output: DType;
  /** For elementwise ops, one for each input. */
  readonly access: readonly Access[];
}

/** Invocations of a workgroup of generated kernels. */
export const WORKGROUP = 64;

const isInteger = (dtype: DType): boolean => dtype === "i32" || dtype === "bool";
const scalarType = (dtype: DType): string => (isInteger(dtype) ? "i32" : "f32");
const vectorAlias = (dtype: DType): string => (isInteger(dtype) ? "I" : "V");
const isNumber = (value: unknown): value is number => typeof value === "number";

/** The numeric attributes of an op: the ones that reach a kernel, as f32. */
export const numericAttrs = (spec: OpSpec): string[] => Object.keys(spec.attrs).filter((name) => !("default" in spec.attrs[name]));

/** The words of the uniform behind the lists: `count`, `n`, dimensions, numbers of `params`, attributes. */
function scalarFields(spec: OpSpec, params: Params): string[] {
  const numbers = Object.keys(params).filter((name) => isNumber(params[name]));
  const fields = ["count", "n", ...spec.signature.dimNames, ...numbers].map((name) => `${name}: u32,`);
  const attrs = numericAttrs(spec).map((name) => `${name}: f32,`);
  const repeats = spec.pointwise ? spec.signature.inputs.flatMap(({ name }) => [`inner_${name}: u32,`, `length_${name}: u32,`]) : [];
  return [...fields, ...attrs, ...repeats];
}

/** Position of a number of `params` in the uniform's words. */
export function wordOf(spec: OpSpec, params: Params, name: string): number {
  const numbers = Object.keys(params).filter((key) => isNumber(params[key]));
  return 8 * listNames(params).length + 2 + spec.signature.dimNames.length + numbers.indexOf(name);
}

const listNames = (params: Params): string[] => Object.keys(params).filter((name) => !isNumber(params[name]));

function uniform(spec: OpSpec, params: Params): string {
  const lists = listNames(params);
  return [
    `struct Dims { ${[...lists.map((name) => `${name}: array<vec4<u32>, 2>,`), ...scalarFields(spec, params)].join(" ")} }`,
    "@group(1) @binding(0) var<uniform> dims: Dims;",
    ...lists.map((name) => `fn ${name}(k: u32) -> u32 { return dims.${name}[k / 4u][k % 4u]; }`),
  ].join("\n");
}

const storage = (binding: number, mode: "read" | "read_write", name: string, type: string): string =>
  `@group(0) @binding(${binding}) var<storage, ${mode}> ${name}: array<${type}>;`;

const head = `@compute @workgroup_size(${WORKGROUP}) fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = gid.x + gid.y * groups.x * ${WORKGROUP}u;`;

/** The WGSL of a declaration's `wgsl`: one invocation for each output element. `:any` operands are read as bits. */
function bodySource(spec: OpSpec, variant: KernelVariant, params: Params): string {
  const { inputs, output } = spec.signature;
  const type = (rule: string, dtype: DType): string => (rule === "any" ? "u32" : scalarType(dtype));
  return [
    uniform(spec, params),
    ...inputs.map(({ name, dtype }, i) => storage(i, "read", name, type(dtype, variant.dtypes[i]))),
    storage(inputs.length, "read_write", output.name, type(output.dtype, variant.output)),
    spec.helpers ?? "",
    head,
    "  if (i >= dims.count) { return; }",
    spec.wgsl ?? "",
    "}",
  ].join("\n");
}

// WGSL compilers may assume that there is no NaN, so only its bits tell.
const NAN_OR = "fn nan_or(v: V, y: V) -> V { return select(y, v, (bitcast<I>(v) & I(0x7fffffff)) > I(0x7f800000)); }";

/** The WGSL of a declaration's `pointwise`: four elements an invocation; buffers reach to a multiple of 16 bytes. */
function pointwiseSource(spec: OpSpec, variant: KernelVariant, params: Params): string {
  const { inputs, output } = spec.signature;
  const full = (i: number): boolean => variant.access[i] === "full";
  const vector = (dtype: DType): string => `vec4<${scalarType(dtype)}>`;
  const load = (name: string, i: number): string => {
    if (full(i)) return `let ${name} = buffer_${name}[i];`;
    const at = [0, 1, 2, 3].map((k) => `buffer_${name}[((4u * i + ${k}u) / dims.inner_${name}) % dims.length_${name}]`);
    return `let ${name} = ${vectorAlias(variant.dtypes[i])}(${at.join(", ")});`;
  };
  return [
    "alias V = vec4<f32>; alias I = vec4<i32>;",
    `alias O = ${vector(variant.output)};`,
    NAN_OR,
    uniform(spec, params),
    ...inputs.map(({ name }, i) => storage(i, "read", `buffer_${name}`, full(i) ? vector(variant.dtypes[i]) : scalarType(variant.dtypes[i]))),
    storage(inputs.length, "read_write", `buffer_${output.name}`, "O"),
    spec.helpers ?? "",
    head,
    "  if (4u * i >= dims.count) { return; }",
    ...inputs.map(({ name }, i) => `  ${load(name, i)}`),
    `  buffer_${output.name}[i] = ${spec.pointwise};`,
    "}",
  ].join("\n");
}

const sources = new WeakMap<OpSpec, Map<string, KernelSource>>();

/** The generated kernel of a declaration; made once for each variant. */
export function kernelSource(spec: OpSpec, variant: KernelVariant, params: Params): KernelSource {
  const key = [...variant.dtypes, variant.output, ...variant.access].join();
  const known = sources.get(spec) ?? new Map<string, KernelSource>();
  sources.set(spec, known);
  const found = known.get(key);
  if (found) return found;
  const made: KernelSource = {
    label: spec.name,
    code: spec.pointwise ? pointwiseSource(spec, variant, params) : bodySource(spec, variant, params),
    bindings: [...spec.signature.inputs.map((): "read" => "read"), "read_write"],
  };
  known.set(key, made);
  return made;
}

/** The uniform's words for one call, in the order of the generated struct. `repeats`: inner and length of each input. */
export function uniformWords(
  spec: OpSpec,
  params: Params,
  values: { readonly count: number; readonly dims: Readonly<Record<string, number>>; readonly attrs: Readonly<Record<string, unknown>> },
  repeats: readonly number[],
): Uint32Array {
  const lists = listNames(params).flatMap((name) => {
    const list = params[name] as readonly number[];
    if (list.length > 8) throw new ArgumentError(spec.name, "every tensor", "of at most 8 axes on webgpu", `one of ${list.length}`);
    return [...list, ...new Array<number>(8 - list.length).fill(0)];
  });
  const numbers = Object.values(params).filter(isNumber);
  const integers = [...lists, values.count, values.dims.n, ...spec.signature.dimNames.map((name) => values.dims[name]), ...numbers];
  const floats = numericAttrs(spec).map((name) => Number(values.attrs[name]));
  const words = new Uint32Array(integers.length + floats.length + repeats.length);
  words.set(integers);
  words.set(new Uint32Array(Float32Array.from(floats).buffer), integers.length);
  words.set(repeats, integers.length + floats.length);
  return words;
}
