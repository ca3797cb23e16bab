import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

/** What a contestant says of itself: versions, the adapter, counts. */
export type Facts = Readonly<Record<string, string | number>>;

/** What some units of work (products, steps) took and gave. */
export interface Round {
  /** Milliseconds a unit, of each unit or of several together. */
  readonly times: readonly number[];
  /** The loss of each step. */
  readonly losses?: readonly number[];
}

/** One contestant in a process of its own. */
export interface Side {
  readonly facts: Facts;
  /** Do `count` units and wait for their results. */
  run(count: number): Promise<Round>;
}

/**
 * Answers a contest over standard input and output, one line of JSON each: the facts; for every line read (a number of units)
 * a round with the time it took; at the end of the input the peak memory. `peers/protocol.py` is the same in Python.
 */
export async function serve({ facts, run }: Side): Promise<void> {
  answer({ facts });
  for await (const line of createInterface({ input: process.stdin })) {
    const [start, before] = [performance.now(), process.cpuUsage()];
    const round = await run(Number(line));
    const { user, system } = process.cpuUsage(before);
    answer({ ...round, cpuMs: (user + system) / 1000, wallMs: performance.now() - start });
  }
  answer({ peakMb: peakMb() });
}

const answer = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

/** The most memory this process has held, in MB (10^6 bytes). */
export function peakMb(): number {
  // On Linux resourceUsage() counts the process that started this one too; /proc does not.
  if (process.platform === "linux") {
    const kibibytes = /VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    if (kibibytes) return (Number(kibibytes) * 1024) / 1e6;
  }
  return (process.resourceUsage().maxRSS * 1024) / 1e6;
}
