import { type Code, type Frame, get, ifElse, type Local, set } from "./assembler.ts";
import { Exponential } from "./exp.ts";
import { f32, f32x4, i32, v128 } from "./instructions.ts";
import { kernel } from "./kernel.ts";
import { eachRow, rowAt } from "./row-kernels.ts";
import { eachFloats, LaneMax, LaneSum } from "./vectors.ts";

/** A label that marks a row to pass over. */
const IGNORED = -1;

/** One row of logits under work. */
class LossRow {
  readonly #frame: Frame;
  readonly #position: Local;
  readonly #end: Local;
  readonly #x: Local;
  readonly #topVector: Local;
  readonly #own: Local;
  readonly #exp: Exponential;
  readonly #sum: LaneSum;
  readonly #max: LaneMax;

  constructor(frame: Frame, x: Local, end: Local) {
    this.#frame = frame;
    this.#x = x;
    this.#end = end;
    this.#position = frame.local("i32");
    [this.#topVector, this.#own] = frame.locals("v128", 2);
    this.#exp = new Exponential(frame);
    this.#sum = new LaneSum(frame);
    this.#max = new LaneMax(frame);
  }

  prepare(): Code[] {
    return this.#exp.prepare();
  }

  /** The largest logit. */
  top(target: Local): Code[] {
    return [
      ...this.#max.clear(),
      ...this.#each({ body: ({ own }, turn) => ({ run: [this.#max.add(turn, own)] }) }),
      ...this.#max.into(target),
      set(this.#topVector, f32x4.splat(get(target))),
    ];
  }

  /** `Σ e^(logit - top)`; the terms replace the logits where `keep` is set. */
  total(target: Local, keep: boolean): Code[] {
    return [
      ...this.#sum.clear(),
      ...this.#each({
        ...(keep ? { writes: [get(this.#x)] } : {}),
        body: ({ own }, turn) => ({
          run: [
            set(this.#own, turn.kept(this.#exp.of(f32x4.subtract(own, get(this.#topVector))))),
            this.#sum.add(turn, get(this.#own)),
          ],
          ...(keep ? { values: [get(this.#own)] } : {}),
        }),
      }),
      ...this.#sum.into(target),
    ];
  }

  /** Multiply by a vector, or (null) clear. */
  scale(factor: Local | null): Code[] {
    return this.#each({
      writes: [get(this.#x)],
      body: ({ own }) => ({ values: [factor ? f32x4.multiply(own, get(factor)) : v128.zero()] }),
    });
  }

  #each(loop: Omit<Parameters<typeof eachFloats<"own">>[3], "reads">): Code[] {
    return [
      set(this.#position, i32.constant(0)),
      ...eachFloats(this.#frame, this.#position, this.#end, { reads: { own: get(this.#x) }, ...loop }),
    ];
  }
}

/**
 * For each row of logits with its label (or -1 to pass over it): `top`, the largest logit, `total = Σ e^(logit -
 * top)` and the label's logit, three floats a row. Where `write` is set the logits become `scale · (softmax -
 * onehot)`, zeros in rows that are passed over.
 *
 *     for each row: top = max; total = Σ e^(x - top), kept in place where asked; then one scaling pass
 */
export const softmaxLossRows = kernel(
  "softmaxLossRows",
  { logits: "inout", labels: "in", facts: "out", scales: "in", write: "i32", rows: "i32", d: "i32", rowsAUnit: "i32" },
  (frame, at) => {
    const [end, x, label, fact, target] = frame.locals("i32", 5);
    const [top, total, scale] = frame.locals("f32", 3);
    const factor = frame.local("v128");
    const own = new LossRow(frame, x, end);
    const word = (base: Local, row: Local): Code => i32.add(get(base), i32.shiftLeft(get(row), i32.constant(2)));
    const fill = (...facts: Code[]): Code[] => facts.map((value, i) => f32.store(get(fact), i * 4, value));
    const passedOver = [
      ...fill(f32.constant(0), f32.constant(1), f32.constant(0)),
      ifElse(get(at.write), own.scale(null)),
    ];
    const counted = (row: Local): Code[] => [
      ...own.top(top),
      set(target, i32.add(get(x), i32.shiftLeft(get(label), i32.constant(2)))),
      f32.store(get(fact), 8, f32.load(get(target), 0)),
      ifElse(get(at.write), own.total(total, true), own.total(total, false)),
      f32.store(get(fact), 0, get(top)),
      f32.store(get(fact), 4, get(total)),
      ifElse(get(at.write), [
        set(scale, f32.load(word(at.scales, row), 0)),
        set(factor, f32x4.splat(f32.divide(get(scale), get(total)))),
        ...own.scale(factor),
        f32.store(get(target), 0, f32.subtract(f32.load(get(target), 0), get(scale))),
      ]),
    ];
    return [
      ...own.prepare(),
      set(end, i32.shiftLeft(get(at.d), i32.constant(2))),
      ...eachRow(frame, at, (row) => [
        set(x, rowAt(at.logits, row, at.d)),
        set(label, i32.load(word(at.labels, row), 0)),
        set(fact, i32.add(get(at.facts), i32.multiply(get(row), i32.constant(12)))),
        ifElse(i32.equal(get(label), i32.constant(IGNORED)), passedOver, counted(row)),
      ]),
    ];
  },
);
