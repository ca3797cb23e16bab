import fc, { type Arbitrary } from "fast-check";
import { fromArray } from "../ops/device.ts";
import { ArgumentError } from "../tensor/errors.ts";
import type { Draw } from "../tensor/op-spec.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { randomValues } from "./random.ts";

/** Sizes around the edges of workgroups (64, 256) and of matmul tiles. */
export const EDGE_SIZES: readonly number[] = [1, 63, 64, 65, 255, 256, 257];

/** Limits of `shapes`. */
export interface ShapeLimits {
  /** Fewest axes, default 0. */
  readonly minRank?: number;
  /** Most axes, default 3. */
  readonly maxRank?: number;
  /** Smallest size of an axis, default 0. */
  readonly minSize?: number;
  /** Largest size of an axis, default 5. */
  readonly maxSize?: number;
}

/** Random shapes. */
export function shapes({
  minRank = 0,
  maxRank = 3,
  minSize = 0,
  maxSize = 5,
}: ShapeLimits = {}): Arbitrary<number[]> {
  return fc.array(fc.integer({ min: minSize, max: maxSize }), { minLength: minRank, maxLength: maxRank });
}

/** Which tensors `tensors` makes. */
export interface TensorLimits extends ShapeLimits {
  /** Exactly this shape; absent: random within the limits. */
  readonly shape?: Shape;
  /** Default `f64`. */
  readonly dtype?: "f32" | "f64";
  /** Smallest value, default -2. */
  readonly low?: number;
  /** Largest value, default 2. */
  readonly high?: number;
}

/** Random tensors on the CPU. @throws ArgumentError when `low` is above `high` */
export function tensors(limits: TensorLimits = {}): Arbitrary<Tensor> {
  const { dtype = "f64", low = -2, high = 2 } = limits;
  if (low > high) throw new ArgumentError("tensors", "low", `at most high (${high})`, String(low));
  const shape = limits.shape ? fc.constant([...limits.shape]) : shapes(limits);
  return fc.tuple(shape, fc.noShrink(fc.integer())).map(([sizes, seed]) => {
    const values = randomValues(seed, sizeOf(sizes), low, high);
    return fromArray(dtype === "f32" ? Float32Array.from(values) : values, sizes, dtype, "cpu");
  });
}

/** What a drawn call is to exercise; a shape law that has no place for it gives a plain call. */
export type CallKind = "plain" | "ones" | "broadcast" | "empty" | "repeated" | "edge";

/** A `Draw` over fast-check's generator, so that failing calls shrink. */
export interface KindDraw extends Draw {
  readonly kind: CallKind;
  /** Size of one axis of a call of this kind. */
  size(): number;
  /** The edge size of an `edge` call. */
  readonly edge: number;
}

/** Random choices for a call of `kind`. `edge` fixes the size that an `edge` call contains. */
export function drawOf(gen: fc.GeneratorValue, kind: CallKind, edge: number): KindDraw {
  const int = (low: number, high: number): number =>
    high <= low ? low : gen(fc.integer, { min: low, max: high });
  const size = (): number => {
    if (kind === "ones") return int(0, 1) === 0 ? 1 : int(1, 4);
    return kind === "edge" ? int(1, 2) : int(1, 5);
  };
  return {
    kind,
    edge,
    int,
    size,
    float: (low, high) => low + ((high - low) * int(0, 65536)) / 65536,
    pick: (choices) => choices[int(0, choices.length - 1)],
    shape(maxRank = 3, minRank = 0) {
      const special = kind === "edge" ? edge : kind === "empty" ? 0 : null;
      const rank = int(special === null ? minRank : Math.max(minRank, Math.min(1, maxRank)), maxRank);
      const drawn = Array.from({ length: rank }, size);
      return special === null || rank === 0 ? drawn : drawn.with(int(0, rank - 1), special);
    },
  };
}
