import { cast } from "../../ops/cast.ts";
import { fromArray } from "../../ops/device.ts";
import { quantizeBlocks } from "../../tensor/blocks.ts";
import { BLOCK, type BlockFormat, type HalfFormat, isHalf, type StoredFormat } from "../../tensor/dtype.ts";
import type { Device } from "../../tensor/storage.ts";
import { encode } from "../../tensor/stored-format.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { OpCall } from "../calls.ts";
import { largestTerm, mustAgree, mustBeIdentical } from "../compare.ts";
import { LawError } from "../errors.ts";
import { evaluate, type Evaluation, isDifferentiable, tensorsOf, type Way } from "../evaluate.ts";
import { announceSkip, forCalls, forKind, type Law, type LawContext } from "./law.ts";
import { checkLeaks } from "./memory-laws.ts";

const HALVES: readonly HalfFormat[] = ["f16", "bf16"];
const COUNTS = { plain: 3, ones: 1, broadcast: 2, empty: 1, edge: 2 } as const;
const BLOCKS: readonly BlockFormat[] = ["q8_0", "q4_0", "q4_1"];
/** Edge sizes that are whole blocks, and how many calls to draw around each: the edge may fall on another axis. */
const BLOCK_EDGES = [64, 256];
const BLOCK_COUNT = 6;

/** An operand in a stored format gives what its decoded values give, forward and backward by the other inputs. */
export function storedLaws(context: LawContext, device: Device): Law[] {
  const { spec } = context;
  const position = spec.signature.inputs.findIndex(({ stored }) => stored);
  if (position < 0) return [];
  const { name } = spec.signature.inputs[position];
  const place = device === "cpu" ? "the CPU" : "the GPU";
  const check = async (call: OpCall, format: StoredFormat): Promise<void> => {
    for (const path of ["fast", "reference"] as const)
      await checkCall(context, call, { device, dtype: "f32", path }, position, format);
  };
  const law = (format: StoredFormat, run: () => Promise<void>): Law => ({
    name: `${spec.name}: ${name} in ${format} gives on ${place} what its decoded values give, forward and backward`,
    run,
  });
  return [
    ...HALVES.map((format) => law(format, () => forCalls(context, COUNTS, (call) => check(call, format)))),
    ...BLOCKS.map((format) => law(format, () => forBlocks(context, position, (call) => check(call, format)))),
  ];
}

/** Hold calls in which one input's rows are whole blocks to `check`. */
async function forBlocks(context: LawContext, position: number, check: (call: OpCall) => Promise<void>): Promise<void> {
  let tried = 0;
  for (const edge of BLOCK_EDGES) {
    await forKind(context, { kind: "edge", edge }, BLOCK_COUNT, async (call) => {
      const { shape } = call.inputs[position];
      if (shape.length === 0 || shape[shape.length - 1] % BLOCK !== 0) return;
      tried++;
      await check(call);
    });
  }
  if (tried === 0) announceSkip(context.spec.name, "no drawn call has rows of whole blocks, so quantised operands were not tried");
}

async function checkCall(
  context: LawContext,
  call: OpCall,
  way: Way,
  position: number,
  format: StoredFormat,
): Promise<void> {
  const { op, spec } = context;
  const makeInputs = (decode: boolean) => (): Tensor[] => storedInputs(call, way, position, format, decode);
  const run = (decode: boolean): Promise<Evaluation> =>
    evaluate(op, call, way, isDifferentiable(spec), makeInputs(decode));
  const expected = await run(true);
  const actual = await run(false);
  checkLeaks(context, call, way, makeInputs(false));
  const isTuned = way.path === "fast" && spec.fast?.packed?.[way.device === "cpu" ? "simd" : "wgsl"];
  mustFit(call, `${format} (${way.path})`, actual, expected, Boolean(isTuned));
}

/** The call's tensors with one of them in `format`, or in f32 after it was in `format`. */
function storedInputs(call: OpCall, way: Way, position: number, format: StoredFormat, decode: boolean): Tensor[] {
  const { values, shape } = call.inputs[position];
  const plain = Float32Array.from(values);
  const bits = isHalf(format) ? encode(format, plain) : quantizeBlocks(format, plain);
  if (!bits) throw new LawError(call.spec.name, `its domain holds values beyond ${format}`);
  const packed = fromArray(bits, shape, format, way.device);
  const inputs = tensorsOf(call, way);
  inputs[position].dispose();
  return inputs.with(position, decode ? cast(packed, { dtype: "f32" }) : packed);
}

/** The same bits where the op decodes first; a kernel that decodes by itself may sum in another order. */
function mustFit({ spec, inputs }: OpCall, what: string, actual: Evaluation, expected: Evaluation, isTuned: boolean): void {
  const pairs = [[actual.output, expected.output], ...actual.gradients.map((gradient, k) => [gradient, expected.gradients[k]])];
  if (actual.gradients.length !== expected.gradients.length)
    throw new LawError(spec.name, `${what}: ${actual.gradients.length} gradients, decoded ${expected.gradients.length}`);
  const terms = largestTerm(...inputs.map(({ values }) => values), expected.output, ...expected.gradients);
  const bound = (spec.ulps ?? 64) * 2 ** -23 * terms;
  pairs.forEach(([found, wanted], k) => {
    const part = `${what}, ${k === 0 ? "forward" : `gradient ${k - 1}`}`;
    if (isTuned) mustAgree(spec.name, part, found, wanted, bound);
    else mustBeIdentical(spec.name, part, found, wanted, ["stored", "decoded"]);
  });
}
