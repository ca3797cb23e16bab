import type { Facts } from "../harness/side.ts";
import { type Device, init } from "../../src/index.ts";

/** Opens a device for a contest and says what it is, and what the process holds before it has done anything. @throws DeviceError where there is none */
export async function openSide(device: Device): Promise<Facts> {
  const { profile } = await init({ device });
  const threads = process.env.POLARGRAD_THREADS;
  return {
    node: process.version,
    startMb: process.memoryUsage().rss / 1e6,
    ...(threads ? { threads: Number(threads) } : {}),
    ...(profile ? { adapter: profile.description, isSoftware: Number(profile.isSoftware) } : {}),
  };
}
