import type { Side } from "../harness/side.ts";
import { adapter } from "./adapter.ts";
import { bareCalls } from "./bare-calls.ts";
import { deloraFiles } from "./delora-files.ts";
import { dispatchOverhead } from "./dispatch-overhead.ts";
import { gemm } from "./gemm.ts";
import { generation } from "./generation.ts";
import { training } from "./training.ts";
import { trainingFiles } from "./training-files.ts";

/** The library's own programs in a contest, by name. */
export const SIDES = { adapter, bareCalls, deloraFiles, dispatchOverhead, gemm, generation, training, trainingFiles } as const satisfies Readonly<
  Record<string, (options: never) => Promise<Side>>
>;

/** Name of a side. */
export type SideName = keyof typeof SIDES;

/** What a side has to be told. */
export type SideOptions<N extends SideName> = Parameters<(typeof SIDES)[N]>[0];
