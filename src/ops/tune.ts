import { env } from "../gpu/env.ts";
import type { Gpu } from "../gpu/device.ts";
import { TILES } from "../gpu/gemm-tile-choice.ts";
import { measureTiles } from "../gpu/tune-tiles.ts";
import { currentGpu } from "./init.ts";

/** Where measured tiles outlive the process, by the GPU that they were measured on. Neither call throws. */
export interface TileStore {
  /** Null where nothing is known of this GPU. Names of other tiles may be among them. */
  read(gpu: string): Promise<readonly string[] | null>;
  write(gpu: string, tiles: readonly string[]): Promise<void>;
}

type Measure = (gpu: Gpu) => Promise<readonly string[]>;

/** Elements of a weight whose product with 1024 rows takes 2^30 operations: smaller products gain nothing that is worth the measuring. */
const LARGE = 2 ** 19;

const tuning = new WeakMap<Gpu, Promise<void>>();

/**
 * Chooses the kernels of large products by what is fast on the GPU that is open, for a model whose largest weight has `elements`:
 * as `store` has it, else measured now (a second or so) and stored. Results differ by no more than rounding. Once for each GPU; never
 * on a software adapter, for small models, and with POLARGRAD_AUTOTUNE=off: the kernels are then chosen by the maker of the GPU.
 */
export async function tuneGpu(store: TileStore, elements: number, measure: Measure = measureTiles): Promise<void> {
  const gpu = currentGpu();
  if (!gpu || gpu.profile.isSoftware || elements < LARGE || env("POLARGRAD_AUTOTUNE") === "off") return;
  const running = tuning.get(gpu) ?? tune(gpu, store, measure);
  tuning.set(gpu, running);
  await running;
}

async function tune(gpu: Gpu, store: TileStore, measure: Measure): Promise<void> {
  const { vendor, architecture, device, description } = gpu.profile;
  const name = [vendor, architecture, device, description].join(" | ");
  const known = (await store.read(name))?.filter((tile) => TILES.has(tile)) ?? [];
  if (known.length > 0) {
    gpu.profile.tiles = known;
    return;
  }
  gpu.profile.tiles = await measure(gpu);
  await store.write(name, gpu.profile.tiles);
}
