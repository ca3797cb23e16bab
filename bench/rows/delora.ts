import { contest, type Length, type Outcome } from "../harness/contest.ts";
import { ifHere, polargrad, pythonPeer } from "../harness/contenders.ts";
import { figures, type Measurement, type Target } from "../harness/figure.ts";
import { expectAgreement, expectUntrained } from "../harness/gates.ts";
import { gpu, isLavapipe } from "../harness/gpu.ts";
import { inTemporaryFolder } from "../harness/paths.ts";
import type { Row } from "../harness/row.ts";
import { best, median } from "../harness/statistics.ts";
import { DELORA_SIZES, type DeloraSize } from "../workloads/delora.ts";

type Size = keyof typeof DELORA_SIZES;

const LENGTHS: Readonly<Record<Size, Length>> = {
  tiny: { warmUp: 3, rounds: 10, units: 3 },
  small: { warmUp: 2, rounds: 8, units: 1 },
  smollm2: { warmUp: 2, rounds: 5, units: 1 },
};
const OF_PEFT: Readonly<Record<Size, Target>> = {
  tiny: { better: "lower", reach: 0.5, firstLook: 0.8 },
  small: { better: "lower", reach: 0.9, firstLook: 1.3 },
  smollm2: { better: "lower", reach: 1, firstLook: 1.5 },
};
const MEMORY_OF_PEFT: Target = { better: "lower", reach: 0.5 };
/** Milliseconds on lavapipe, which is too slow for the largest. */
const ON_LAVAPIPE: Readonly<Partial<Record<Size, Target>>> = {
  tiny: { better: "lower", reach: 150 },
  small: { better: "lower", reach: 2600 },
};

/** A DeLoRA step on the CPU in turns with PEFT, from the same files. */
const onCpu = (size: Size): Row => ({
  name: `delora-${size}`,
  about: `DeLoRA step of 4 x 256 tokens, r = 8 on q and v, ${shapeOf(size)}, on the CPU; PEFT`,
  run: () =>
    figures("step", () =>
      withFiles(DELORA_SIZES[size], async (folder) => {
        const side = polargrad("training", { device: "cpu", workload: "delora", folder });
        const [ours, theirs] = await contest([side, ...peft(folder)], LENGTHS[size]);
        const check = checkLosses(ours, theirs, DELORA_SIZES[size]);
        const [time, memory] = [timeOf(ours, theirs, check), memoryOf(ours, theirs, check)];
        return [
          { ...time, targets: { ratio: OF_PEFT[size] } },
          { ...memory, name: "peak memory", targets: { ratio: MEMORY_OF_PEFT } },
        ];
      }),
    ),
});

/** A DeLoRA step on WebGPU, its losses held against PEFT's, or this library's on the CPU. */
const onGpu = (size: Size): Row => ({
  name: `gpu-delora-${size}`,
  about: `DeLoRA step of 4 x 256 tokens, r = 8 on q and v, ${shapeOf(size)}, on WebGPU; PEFT on the CPU`,
  onRequest: ON_LAVAPIPE[size] === undefined,
  run: () =>
    figures("step", () =>
      withFiles(DELORA_SIZES[size], async (folder) => {
        const choice = await gpu();
        const side = polargrad("training", { device: "webgpu", workload: "delora", folder }, { env: choice.env });
        const [reference = polargrad("training", { device: "cpu", workload: "delora", folder }, { name: "polargrad on the CPU" })] = peft(folder);
        const [ours, theirs] = await contest([side, reference], { ...LENGTHS[size], rounds: 5 });
        const time = timeOf(ours, theirs, checkLosses(ours, theirs, DELORA_SIZES[size]));
        const value = ON_LAVAPIPE[size];
        return [isLavapipe(choice) && value ? { ...time, targets: { value } } : time];
      }),
    ),
});

/** The work this library is for. */
export const deloraRows: readonly Row[] = [onCpu("tiny"), onCpu("small"), onCpu("smollm2"), onGpu("tiny"), onGpu("small"), onGpu("smollm2")];

/** Runs `use` with a folder that holds model, adapter and batch of a size. */
export function withFiles<T>(size: DeloraSize, use: (folder: string) => Promise<T>): Promise<T> {
  return inTemporaryFolder(async (folder) => {
    await contest([polargrad("deloraFiles", { folder, size }, { name: "writing the model" })], { warmUp: 0, rounds: 0, units: 0 });
    return use(folder);
  });
}

const peft = (folder: string) => ifHere(() => pythonPeer("PEFT", "peft-step.py", [folder], ["torch", "transformers", "peft"]));

function checkLosses(ours: Outcome, theirs: Outcome | undefined, { vocabulary }: DeloraSize): string {
  const untrained = expectUntrained(ours.losses[0], vocabulary);
  return theirs ? expectAgreement(ours.losses, theirs.losses, theirs.name) : untrained;
}

const placeOf = ({ facts }: Outcome): string => String(facts.adapter ?? `Node ${facts.node}`);

function timeOf(ours: Outcome, theirs: Outcome | undefined, check: string): Measurement {
  const { batch, time } = DELORA_SIZES.tiny;
  return {
    value: best(ours.times),
    unit: "ms",
    ...(theirs ? { peer: { name: theirs.name, value: best(theirs.times) } } : {}),
    check,
    on: placeOf(ours),
    details: {
      median: median(ours.times),
      ...(theirs ? { peerMedian: median(theirs.times) } : {}),
      tokensPerSecond: ((batch * time) / best(ours.times)) * 1000,
      firstStepMs: ours.warmUp[0],
      coresBusy: ours.cores,
    },
  };
}

const memoryOf = (ours: Outcome, theirs: Outcome | undefined, check: string): Measurement => ({
  value: ours.peakMb,
  unit: "MB",
  ...(theirs ? { peer: { name: theirs.name, value: theirs.peakMb } } : {}),
  check,
  on: placeOf(ours),
});

function shapeOf(size: Size): string {
  const { width, layers, vocabulary } = DELORA_SIZES[size];
  return `${layers} layers of ${width}, vocabulary ${vocabulary}`;
}
