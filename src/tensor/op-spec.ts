import type { DType, PackedArray, StoredFormat, TypedArray } from "./dtype.ts";
import type { Shape } from "./shape.ts";
import type { Signature } from "./signature.ts";
import type { Device } from "./storage.ts";
import type { Tensor } from "./tensor.ts";

/** Lowest and highest value. */
export type Range = readonly [low: number, high: number];

/** A number with its default and the range that tests draw from, so that no attribute is only ever seen at its default. */
export type NumberAttr = readonly [byDefault: number, range: Range];
/** Any other attribute: `{ default: … }`; `draw` says how tests choose it. */
export interface ValueAttr<T = unknown> {
  readonly default: T;
}
/** Attributes of a declaration. */
export type AttrSpecs = Readonly<Record<string, NumberAttr | ValueAttr>>;
/** The values of declared attributes. */
export type AttrValues<A extends AttrSpecs> = { readonly [K in keyof A]: AttrValue<A[K]> };
type AttrValue<S> = S extends ValueAttr<infer T> ? T : number;

/** Sizes that references and kernels see: named dimensions, and `n`, the product of the `*` axes. */
export type Dims<D extends string = string> = Readonly<Record<D | "n", number>>;
/** Extra integers of an op. In WGSL a number is read as `dims.name`, a list (of at most 8) as `name(k)`. */
export type Params = Readonly<Record<string, number | readonly number[]>>;

/** Cotangent of each input, computed only when asked for. `null` claims that the derivative is zero, and the laws check that. */
export type Cotangents<N extends string> = { readonly [K in N]?: (() => Tensor) | null };

/** Whose elements each cotangent is computed from, besides those of dy: inputs by name, and the output. None where nothing is said. */
export type Reads<N extends string> = { readonly [K in N]?: readonly (N | "output")[] };

/** A WGSL program: group(0) holds the storage buffers in order, group(1) binding(0) the uniform parameters. */
export interface KernelSource {
  readonly label: string;
  readonly code: string;
  readonly bindings: readonly ("read" | "read_write")[];
}

/** One dispatch: inputs in signature order and the output are bound; floats in `params` are bit-cast. */
export interface KernelDispatch {
  readonly kernel: KernelSource;
  readonly grid: readonly [number, number, number];
  readonly params: Uint32Array;
  /** Position in `params` of the number of a random stream: a captured step goes on from it. */
  readonly randomStream?: number | undefined;
}

/** How a hand-written kernel computes an op. */
export interface KernelPlan extends KernelDispatch {
  /** Runs before, from the inputs into `floats` floats of scratch: the kernel then reads those in place of the inputs. */
  readonly first?: KernelDispatch & { readonly floats: number };
  /** The output is zero before. */
  readonly zeroed?: true;
}

/** What a hand-written kernel may ask about the adapter. */
export interface KernelProfile {
  readonly isSoftware: boolean;
  /** Who made it, as WebGPU names them: "nvidia", "amd", "intel", "apple" and others; unknown where it is absent. */
  readonly vendor?: string;
  /** Names of the tiles of a product that pay on this GPU, from large to small; absent where they were not measured. */
  readonly tiles?: readonly string[];
  /** The one subgroup size of the adapter, or null when it varies or there are none. */
  readonly subgroupSize: number | null;
  readonly subgroups: boolean;
}

/**
 * What reads an operand in a stored format on the CPU: as `simd`, with that operand's bits in `packed` instead of in `inputs`.
 * `out` arrives with any values; true: all of it was written, false: the operand shall be decoded first.
 */
export type PackedKernel<N extends string, A extends AttrSpecs, D extends string, P extends Params> = (
  packed: PackedArray,
  inputs: Record<N, Float32Array>,
  out: Float32Array,
  dims: Dims<D>,
  attrs: AttrValues<A>,
  params: P,
) => boolean;

/** Kernels that read the operand marked `|stored` as it lies, for the formats they know. */
export interface PackedKernels<N extends string, A extends AttrSpecs, D extends string, P extends Params> {
  /** Binds that operand's buffer as u32 words, the first element in the lowest bits; null: decode it first. */
  readonly wgsl?: (format: StoredFormat, profile: KernelProfile, dims: Dims<D>, attrs: AttrValues<A>, params: P) => KernelPlan | null;
  /** Null: decode it first. */
  readonly simd?: (format: StoredFormat, dims: Dims<D>) => PackedKernel<N, A, D, P> | null;
}

/** Random choices for the laws: shapes of all inputs and attributes of one call. */
export interface Draw {
  /** Integer from low to high, both included. */
  int(low: number, high: number): number;
  /** A float from low to high. */
  float(low: number, high: number): number;
  pick<T>(choices: readonly T[]): T;
  /** A shape of rank `minRank` (default 0) to `maxRank` (default 3), with sizes 0 to 5, mostly above 0. */
  shape(maxRank?: number, minRank?: number): number[];
}

/** One call that the laws make. */
export interface DrawnCall {
  readonly shapes: Readonly<Record<string, Shape>>;
  readonly attrs?: Readonly<Record<string, unknown>>;
}

/** Everything the project knows about one operation. See DESIGN: one op, one file, one declaration. */
export interface OpSpec<N extends string = string, A extends AttrSpecs = AttrSpecs, D extends string = string, P extends Params = Params> {
  readonly name: string;
  readonly signature: Signature;
  readonly attrs: A;
  /** Output shape, for a signature with `[...]`. Throws ShapeError through `fail(why)`. */
  readonly shape?: (shapes: Readonly<Record<N, Shape>>, attrs: AttrValues<A>, fail: (why: string) => never) => Shape;
  /** Output dtype where an attribute decides it; null: by the signature. */
  readonly dtype?: (attrs: AttrValues<A>) => DType | null;
  /** A law beyond the signature: the sentence that says what is wrong, or null. */
  readonly check?: (dims: Dims<D>, attrs: AttrValues<A>) => string | null;
  /** The entry of `params` that numbers the random stream it draws from. */
  readonly randomStream?: string;
  /** Extra integers for the reference and the kernels. */
  readonly params?: (shapes: Readonly<Record<N, Shape>>, attrs: AttrValues<A>, output: Shape) => P;
  /**
   * The meaning: scalar loops over row-major arrays (Float64Array when checking, Float32Array when running). Operands with `*`
   * arrive expanded to the broadcast shape, stored formats decoded; `out` arrives zeroed. No tensors, no tape, no GPU.
   */
  readonly reference: (inputs: Record<N, TypedArray>, out: TypedArray, dims: Dims<D>, attrs: AttrValues<A>, params: P) => void;
  /**
   * Readable WGSL: statements that compute output element `i` (u32) and end in `y[i] = …` with the signature's names, `dims.x` for
   * sizes, parameters and numeric attributes, `dims.count` for the output's size.
   */
  readonly wgsl?: string;
  /**
   * For elementwise ops instead of `wgsl`: an expression of the inputs' names, four elements at a time: floats have the type `V`,
   * integers and bools `I`, the result `O`; constants are written `V(0.5)`. Drivers may lose a NaN in functions such as `exp` and
   * `max`: `nan_or(x, y)` is x where that is NaN, else y.
   */
  readonly pointwise?: string;
  /** WGSL functions that `wgsl` or `pointwise` uses. */
  readonly helpers?: string;
  /** Second implementations of the same declaration, held to the same laws: a tuned kernel, and f32 code for the CPU. */
  readonly fast?: {
    readonly wgsl?: (profile: KernelProfile, dims: Dims<D>, attrs: AttrValues<A>, params: P) => KernelPlan | null;
    /** `out` arrives with any values; true: all of it was written, false: the reference shall run. */
    readonly simd?: (
      inputs: Record<N, Float32Array>, out: Float32Array, dims: Dims<D>, attrs: AttrValues<A>, params: P,
    ) => boolean;
    /** Without one, a stored operand is decoded to f32 for the time of the op. */
    readonly packed?: PackedKernels<N, A, D, P>;
  };
  /** The same op in smaller ops: runs where there is no kernel, and is differentiated where there is no `vjp`. */
  readonly decompose?: (inputs: Record<N, Tensor>, attrs: AttrValues<A>) => Tensor;
  /** Runs through `decompose`; the reference only checks it (in f64, or where a test asks for references). */
  readonly composite?: true;
  /** Vector-Jacobian product, in differentiable ops. Absent: through `decompose`; absent too: backward throws. */
  readonly vjp?: (inputs: Record<N, Tensor>, dy: Tensor, attrs: AttrValues<A>, y: Tensor) => Cotangents<N>;
  /**
   * What the cotangents of `vjp` read; absent: all inputs and the output. The tape lets go of the elements of everything else, while
   * shapes and dtypes stay. The laws hold it to what the vjp does.
   */
  readonly reads?: Reads<N> | ((device: Device) => Reads<N>);
  /** How often the laws differentiate it: 2 (default), or 1 where the vjp itself has no gradient. */
  readonly order?: 1 | 2;
  /** The output is the input's elements under another shape: no kernel runs and nothing is copied. */
  readonly view?: true;
  /** Where the laws draw inputs from, in words of the dimensions; f32 and f64 default to [-2, 2], integers to [0, 3], bool to [0, 1]. */
  readonly domain?: { readonly [K in N]?: Range | ((dims: Dims<D>, attrs: AttrValues<A>) => Range) };
  /** Draws a call where the signature alone cannot (`[...]` operands, list attributes). */
  readonly draw?: (draw: Draw) => DrawnCall;
  /** Allowed error of f32 against f64, in units of 2^-23 times the largest term; default 64. State the reason beside it. */
  readonly ulps?: number;
}
