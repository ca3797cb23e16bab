import { contest } from "../harness/contest.ts";
import { ifHere, polargrad, pythonPeer } from "../harness/contenders.ts";
import { WrongResult } from "../harness/errors.ts";
import { figures, type Target } from "../harness/figure.ts";
import type { Row } from "../harness/row.ts";
import { best, median } from "../harness/statistics.ts";
import { DELORA_SIZES } from "../workloads/delora.ts";
import { withFiles } from "./delora.ts";

const PROMPT_TOKENS = 32;
const NEW_TOKENS = 64;
const AS_F32: Target = { better: "higher", reach: 1 };

const continued = (size: "tiny" | "smollm2"): Row => ({
  name: `generate-${size}`,
  about: `greedy continuation of ${PROMPT_TOKENS} tokens by ${NEW_TOKENS}, with a KV cache, ${size} shape, on the CPU; transformers`,
  run: () =>
    figures("generation", () =>
      withFiles(DELORA_SIZES[size], async (folder) => {
        const modules = ["torch", "transformers"];
        const [ours, theirs] = await contest(
          [
            polargrad("generation", { folder, promptTokens: PROMPT_TOKENS }),
            ...ifHere(() => pythonPeer("transformers", "transformers-generation.py", [folder, String(PROMPT_TOKENS)], modules)),
          ],
          { warmUp: 8, rounds: 5, units: NEW_TOKENS },
        );
        const perSecond = (ms: number): number => 1000 / ms;
        return [
          {
            value: perSecond(best(ours.times)),
            unit: "tokens/s",
            ...(theirs ? { peer: { name: theirs.name, value: perSecond(best(theirs.times)) } } : {}),
            check: expectSameTokens(ours.losses, theirs?.losses ?? null),
            on: `Node ${ours.facts.node}`,
            details: { median: perSecond(median(ours.times)), coresBusy: ours.cores },
          },
        ];
      }),
    ),
});

const FORMATS = ["bf16", "q8_0", "q4_0"] as const;

/** Generation from frozen weights in stored formats, beside f32. */
const stored: Row = {
  name: "generate-stored",
  about: `as generate-smollm2, with the matrices in ${FORMATS.join(", ")}; the same in f32`,
  run: () =>
    figures("stored", () =>
      withFiles(DELORA_SIZES.smollm2, async (folder) => {
        const options = { folder, promptTokens: PROMPT_TOKENS };
        const [plain, ...others] = await contest(
          [polargrad("generation", options), ...FORMATS.map((format) => polargrad("generation", { ...options, format }, { name: format }))],
          { warmUp: 8, rounds: 5, units: NEW_TOKENS },
        );
        return others.map((outcome, i) => ({
          name: FORMATS[i],
          value: 1000 / best(outcome.times),
          unit: "tokens/s",
          peer: { name: "f32", value: 1000 / best(plain.times) },
          targets: { ratio: AS_F32 },
          check: expectSameTokens(outcome.losses, null),
          on: `Node ${outcome.facts.node}`,
          details: { median: 1000 / median(outcome.times), coresBusy: outcome.cores, peakMb: outcome.peakMb, f32PeakMb: plain.peakMb },
        }));
      }),
    ),
};

/** Generation on the CPU. */
export const generationRows: readonly Row[] = [continued("tiny"), continued("smollm2"), stored];

/** @returns what was checked @throws WrongResult */
function expectSameTokens(ours: readonly number[], theirs: readonly number[] | null): string {
  const repeated = ours.slice(8).every((token, i) => token === ours[8 + (i % NEW_TOKENS)]);
  if (!repeated) throw new WrongResult("the same prompt was continued in two ways");
  if (!theirs) return "the same tokens every time";
  const at = ours.findIndex((token, i) => token !== theirs[i]);
  if (at >= 0) throw new WrongResult(`token ${at} is ${ours[at]}, but ${theirs[at]} in transformers`);
  return `${ours.length} tokens as transformers'`;
}
