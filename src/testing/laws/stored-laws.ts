import { noGrad } from "../../autograd/index.ts";
import { cast } from "../../ops/cast.ts";
import type { StoredFormat } from "../../tensor/dtype.ts";
import type { Device } from "../../tensor/storage.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { OpCall } from "../calls.ts";
import { largestTerm, mustAgree, mustBeIdentical } from "../compare.ts";
import { LawError } from "../errors.ts";
import { evaluate, type Evaluation, isDifferentiable, tensorsOf, type Way } from "../evaluate.ts";
import { forCalls, type Law, type LawContext } from "./law.ts";
import { live } from "./memory-laws.ts";

const FORMATS: readonly StoredFormat[] = ["f16", "bf16"];
const COUNTS = { plain: 3, ones: 1, broadcast: 2, empty: 1, edge: 2 } as const;

/** An operand in a stored format gives what its decoded values give, forward and backward by the other inputs. */
export function storedLaws(context: LawContext, device: Device): Law[] {
  const { spec } = context;
  const position = spec.signature.inputs.findIndex(({ stored }) => stored);
  if (position < 0) return [];
  const { name } = spec.signature.inputs[position];
  const place = device === "cpu" ? "the CPU" : "the GPU";
  return FORMATS.map((format) => ({
    name: `${spec.name}: ${name} in ${format} gives on ${place} what its decoded values give, forward and backward`,
    run: () =>
      forCalls(context, COUNTS, async (call) => {
        for (const path of ["fast", "reference"] as const)
          await checkCall(context, call, { device, dtype: "f32", path }, position, format);
      }),
  }));
}

async function checkCall(
  { op, spec }: LawContext,
  call: OpCall,
  way: Way,
  position: number,
  format: StoredFormat,
): Promise<void> {
  const run = (decode: boolean): Promise<Evaluation> =>
    evaluate(op, call, way, isDifferentiable(spec), (...given) => storedInputs(...given, position, format, decode));
  const expected = await run(true);
  const actual = await run(false);
  const before = live(way.device);
  await run(false);
  const left = live(way.device) - before;
  if (left !== 0) throw new LawError(spec.name, `a call with ${format} left ${left} storages more on ${way.device}`);
  const isTuned = way.path === "fast" && spec.fast?.packed?.[way.device === "cpu" ? "simd" : "wgsl"];
  mustFit(call, `${format} (${way.path})`, actual, expected, Boolean(isTuned));
}

/** The call's tensors with one of them in `format`, or in f32 after it was in `format`. */
function storedInputs(call: OpCall, way: Way, position: number, format: StoredFormat, decode: boolean): Tensor[] {
  const inputs = tensorsOf(call, way);
  return noGrad(() => {
    const packed = cast(inputs[position], { dtype: format });
    return inputs.with(position, decode ? cast(packed, { dtype: "f32" }) : packed);
  });
}

/** The same bits where the op decodes first; a kernel that decodes by itself may sum in another order. */
function mustFit({ spec }: OpCall, what: string, actual: Evaluation, expected: Evaluation, isTuned: boolean): void {
  const pairs = [[actual.output, expected.output], ...actual.gradients.map((gradient, k) => [gradient, expected.gradients[k]])];
  if (actual.gradients.length !== expected.gradients.length)
    throw new LawError(spec.name, `${what}: ${actual.gradients.length} gradients, decoded ${expected.gradients.length}`);
  const bound = (spec.ulps ?? 64) * 2 ** -23 * largestTerm(expected.output, ...expected.gradients);
  pairs.forEach(([found, wanted], k) => {
    const part = `${what}, ${k === 0 ? "forward" : `gradient ${k - 1}`}`;
    if (isTuned) mustAgree(spec.name, part, found, wanted, bound);
    else mustBeIdentical(spec.name, part, found, wanted, ["stored", "decoded"]);
  });
}
