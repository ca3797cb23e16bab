import { type LlamaConfig, ropeInverseFrequencies } from "../io/index.ts";
import { lasting } from "../ops/device.ts";
import { slice, tensor } from "../ops/index.ts";
import { keep } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Cosines and sines of the angles of some positions, each [positions, headDim / 2]. */
export interface RopeAngles {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/**
 * The angles of rotary position embedding, computed in f64 and kept as tables on the device that last asked.
 */
export class RotaryTables {
  readonly #frequencies: Float64Array;
  #tables: RopeAngles | null = null;

  constructor(config: Pick<LlamaConfig, "headDim" | "ropeTheta" | "ropeScaling">) {
    this.#frequencies = ropeInverseFrequencies(config);
  }

  /** Angles of the positions `start <= position < end`, in the dtype and on the device of `like`. */
  at(start: number, end: number, like: Tensor): RopeAngles {
    const { cos, sin } = this.#atLeast(end, like);
    const part = (table: Tensor): Tensor =>
      start === 0 && end === table.shape[0] ? table.detach() : slice(table, { axis: 0, start, end });
    return { cos: part(cos), sin: part(sin) };
  }

  #atLeast(rows: number, { dtype, device }: Tensor): RopeAngles {
    const old = this.#tables;
    const isSame = old !== null && old.cos.device === device && old.cos.dtype === dtype;
    const have = isSame ? old.cos.shape[0] : 0;
    if (old && have >= rows) return old;
    const shape = [Math.max(rows, 2 * have), this.#frequencies.length];
    const width = shape[1];
    const table = (f: (angle: number) => number): Tensor => {
      const values = Float64Array.from({ length: shape[0] * width }, (_, i) =>
        f(Math.floor(i / width) * this.#frequencies[i % width]),
      );
      return lasting(device, () => keep(tensor(values, { shape, dtype, device })));
    };
    this.#tables = { cos: table(Math.cos), sin: table(Math.sin) };
    old?.cos.dispose();
    old?.sin.dispose();
    return this.#tables;
  }
}
