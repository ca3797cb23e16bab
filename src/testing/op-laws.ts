import { currentGpu } from "../ops/init.ts";
import type { Device } from "../tensor/storage.ts";
import type { DeclaredOp } from "./calls.ts";
import { argumentLaws } from "./laws/argument-laws.ts";
import { gpuLaws, withGuards } from "./laws/gpu-laws.ts";
import { gradientLaws } from "./laws/gradient-laws.ts";
import type { Law, LawContext } from "./laws/law.ts";
import { memoryLaws } from "./laws/memory-laws.ts";
import { precisionLaws } from "./laws/precision-laws.ts";
import { shapeLaws } from "./laws/shape-laws.ts";
import { storedLaws } from "./laws/stored-laws.ts";

/** Which laws `opLaws` gives, and how thorough they are. */
export interface LawOptions {
  /** Only one device's laws; default: the CPU's, and the GPU's when `init({ device: "webgpu" })` has opened one. */
  readonly device?: Device;
  /** Multiplies the number of calls that each law draws. Default 1: about 15 calls a law. */
  readonly runs?: number;
  /** Seed of the calls; default POLARGRAD_SEED, else a constant. */
  readonly seed?: number;
}

/**
 * The laws that an op's declaration has to obey, ready for a test runner:
 * `for (const law of opLaws(myOp)) it(law.name, law.run);`.
 *
 * On the CPU: declared shapes, first and second derivatives against finite differences of the f64 reference, f32 and
 * NaN against f64, `decompose` against the op, stored formats against their decoded values, no leaks, the same bits twice, errors
 * that name what is wrong. On an open
 * GPU: every kernel, forward and backward, against the f64 reference, at sizes around workgroup and tile edges, with
 * intact guard words.
 *
 * @param op what `defineOp` returned
 */
export function opLaws(op: DeclaredOp, options: LawOptions = {}): Law[] {
  const context: LawContext = { op, spec: op.spec, seed: options.seed, runs: options.runs ?? 1 };
  const laws: Law[] = [];
  if (options.device !== "webgpu") {
    laws.push(...shapeLaws(context), ...gradientLaws(context), ...precisionLaws(context));
    laws.push(...memoryLaws(context, "cpu"), ...storedLaws(context, "cpu"), ...argumentLaws(context));
  }
  if (options.device === "webgpu" || (options.device === undefined && currentGpu())) {
    const onGpu = [...gpuLaws(context), ...memoryLaws(context, "webgpu"), ...storedLaws(context, "webgpu")];
    laws.push(...onGpu.map((law) => withGuards(op.spec.name, law)));
  }
  return laws;
}
