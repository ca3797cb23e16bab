import { type Code, countUp, countWhile, type Frame, type FunctionSource, get, ifElse, increase, set } from "./assembler.ts";
import { Exponential } from "./exp.ts";
import { f32, f32x4, i32, i32x4, v128 } from "./instructions.ts";
import { eachFloats, LaneMax, LaneSum } from "./vectors.ts";

const NEGATIVE_INFINITY = Number.NEGATIVE_INFINITY;

/** The functions that attention's kernels call for rows of scores. */
export const attentionFunctions = (): FunctionSource[] => [maskBias, maskedSoftmax, softmaxCotangent];

/** `bias[j] = mask[j] ? 0 : -∞`, the rest of the last vector too. */
const maskBias: FunctionSource = {
  name: "maskBias",
  exported: false,
  params: ["i32", "i32", "i32"],
  body(frame, [mask, bias, keys]) {
    const at = frame.local("i32");
    const isMasked = i32x4.equal(v128.load(i32.add(get(mask), get(at)), 0), v128.zero());
    return [
      countUp(at, 16, i32.shiftLeft(get(keys), i32.constant(2)), [
        v128.store(i32.add(get(bias), get(at)), 0, v128.and(isMasked, f32x4.constant(NEGATIVE_INFINITY))),
      ]),
    ];
  },
};

/**
 * Turns rows of scores, `stride` bytes apart, into `e^(scale · score + bias - top)`; row `r` sees the first
 * `visible + r` of its `keys`, the rest become 0. `factors[r]` is one over the row's sum, or 0 where it sees
 * nothing.
 *
 *     for each row: top = max(scale · score + bias); e^(… - top) and its sum; zeros
 */
const maskedSoftmax: FunctionSource = {
  name: "maskedSoftmax",
  exported: false,
  params: ["i32", "i32", "i32", "i32", "i32", "i32", "f32", "i32"],
  body(frame, [scores, stride, rows, keys, visible, bias, scale, factors]) {
    const [row, at, end, all] = frame.locals("i32", 4);
    const [top, total] = frame.locals("f32", 2);
    const [topVector, scaleVector, own] = frame.locals("v128", 3);
    const [max, sum, exp] = [new LaneMax(frame), new LaneSum(frame), new Exponential(frame)];
    const exponentials = eachFloats(frame, at, end, {
      reads: { score: get(scores) },
      writes: [get(scores)],
      body: ({ score }, turn) => ({
        run: [set(own, turn.kept(exp.of(f32x4.subtract(score, get(topVector))))), sum.add(turn, get(own))],
        values: [get(own)],
      }),
    });
    return [
      ...exp.prepare(),
      set(scaleVector, f32x4.splat(get(scale))),
      set(all, i32.shiftLeft(get(keys), i32.constant(2))),
      countUp(row, 1, get(rows), [
        set(end, i32.shiftLeft(i32.add(get(visible), get(row)), i32.constant(2))),
        ...max.clear(),
        set(at, i32.constant(0)),
        ...eachFloats(frame, at, end, {
          reads: { score: get(scores), bias: get(bias) },
          writes: [get(scores)],
          body: ({ score, bias: own0 }, turn) => ({
            run: [set(own, frame.multiplyAdd(score, get(scaleVector), own0)), max.add(turn, get(own))],
            values: [get(own)],
          }),
        }),
        ...max.into(top),
        set(at, i32.constant(0)),
        set(total, f32.constant(0)),
        ifElse(f32.greaterThan(get(top), f32.constant(NEGATIVE_INFINITY)), [
          set(topVector, f32x4.splat(get(top))),
          ...sum.clear(),
          ...exponentials,
          ...sum.into(total),
          set(total, f32.divide(f32.constant(1), get(total))),
        ]),
        f32.store(get(factors), 0, get(total)),
        ...eachFloats(frame, at, all, { reads: {}, writes: [get(scores)], body: () => ({ values: [v128.zero()] }) }),
        increase(scores, get(stride)),
        increase(factors, i32.constant(4)),
      ]),
    ];
  },
};

/**
 * With rows of unscaled weights `w` and of `pulled = dy · v`: w becomes `w · factor`, pulled becomes
 * `scale · w · (pulled - Σ w · pulled)`.
 *
 *     for each row: w, and Σ w · pulled; then the cotangents
 */
const softmaxCotangent: FunctionSource = {
  name: "softmaxCotangent",
  exported: false,
  params: ["i32", "i32", "i32", "i32", "i32", "f32", "i32"],
  body(frame, [weights, pulled, stride, rows, keys, scale, factors]) {
    const [row, at, end] = frame.locals("i32", 3);
    const mean = frame.local("f32");
    const [factor, meanVector, scaleVector, own] = frame.locals("v128", 4);
    const sum = new LaneSum(frame);
    const reads = { weight: get(weights), pull: get(pulled) };
    return [
      set(scaleVector, f32x4.splat(get(scale))),
      set(end, i32.shiftLeft(get(keys), i32.constant(2))),
      countUp(row, 1, get(rows), [
        set(factor, v128.loadSplat(get(factors), 0)),
        ...sum.clear(),
        set(at, i32.constant(0)),
        ...eachFloats(frame, at, end, {
          reads,
          writes: [get(weights)],
          body: ({ weight, pull }, turn) => ({
            run: [set(own, f32x4.multiply(weight, get(factor))), sum.addProduct(turn, get(own), pull)],
            values: [get(own)],
          }),
        }),
        ...sum.into(mean),
        set(meanVector, f32x4.splat(get(mean))),
        set(at, i32.constant(0)),
        ...eachFloats(frame, at, end, {
          reads,
          writes: [get(pulled)],
          body: ({ weight, pull }) => ({
            values: [f32x4.multiply(f32x4.multiply(weight, get(scaleVector)), f32x4.subtract(pull, get(meanVector)))],
          }),
        }),
        increase(weights, get(stride)),
        increase(pulled, get(stride)),
        increase(factors, i32.constant(4)),
      ]),
    ];
  },
};

/** Multiply rows of `d` floats, `stride` bytes apart, by the factor of each. */
export function scaleRows(frame: Frame, from: Code, stride: Code, rows: Code, d: Code, factors: Code): Code[] {
  const [row, at, end, base, factorAt] = frame.locals("i32", 5);
  const factor = frame.local("v128");
  return [
    set(end, i32.shiftLeft(d, i32.constant(2))),
    set(base, from),
    set(factorAt, factors),
    set(row, i32.constant(0)),
    countWhile(row, 1, rows, [
      set(factor, v128.loadSplat(get(factorAt), 0)),
      set(at, i32.constant(0)),
      ...eachFloats(frame, at, end, {
        reads: { own: get(base) },
        writes: [get(base)],
        body: ({ own }) => ({ values: [f32x4.multiply(own, get(factor))] }),
      }),
      increase(base, stride),
      increase(factorAt, i32.constant(4)),
    ]),
  ];
}
