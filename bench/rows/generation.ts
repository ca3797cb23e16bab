import { contest } from "../harness/contest.ts";
import { ifHere, polargrad, pythonPeer } from "../harness/contenders.ts";
import { WrongResult } from "../harness/errors.ts";
import { figures } from "../harness/figure.ts";
import type { Row } from "../harness/row.ts";
import { best, median } from "../harness/statistics.ts";
import { DELORA_SIZES } from "../workloads/delora.ts";
import { withFiles } from "./delora.ts";

const PROMPT_TOKENS = 32;
const NEW_TOKENS = 64;

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

/** Generation on the CPU. */
export const generationRows: readonly Row[] = [continued("tiny"), continued("smollm2")];

/** @returns what was checked @throws WrongResult */
function expectSameTokens(ours: readonly number[], theirs: readonly number[] | null): string {
  const repeated = ours.slice(8).every((token, i) => token === ours[8 + (i % NEW_TOKENS)]);
  if (!repeated) throw new WrongResult("the same prompt was continued in two ways");
  if (!theirs) return "the same tokens every time";
  const at = ours.findIndex((token, i) => token !== theirs[i]);
  if (at >= 0) throw new WrongResult(`token ${at} is ${ours[at]}, but ${theirs[at]} in transformers`);
  return `${ours.length} tokens as transformers'`;
}
