import { describe, expect, it } from "vitest";
import { type Contender, contest } from "../../bench/harness/contest.ts";
import { NotHere, WrongResult } from "../../bench/harness/errors.ts";
import { figures } from "../../bench/harness/figure.ts";
import { allRight, measureRows } from "../../bench/harness/measure.ts";
import { coresOfOthers, countAnew, countOthers } from "../../bench/harness/others.ts";

/** A program that speaks the protocol: its loss is the number of units so far. */
const SPEAKER = `
  console.log('{"facts": {"kind": "speaker"}}\\nnoise');
  let units = 0;
  require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
    units += Number(line);
    console.log(JSON.stringify({ times: [units], losses: [units], cpuMs: 4, wallMs: 2 }));
  }).on("close", () => console.log('{"peakMb": 7}'));`;
const program = (source: string): Contender => ({ name: "it", command: process.execPath, args: ["-e", source] });

describe("a contest", () => {
  it("plays warm-up and rounds with every contender", async () => {
    const both = await contest([program(SPEAKER), { ...program(SPEAKER), name: "other" }], { warmUp: 5, rounds: 2, units: 3 });
    expect(both.map(({ name }) => name)).toEqual(["it", "other"]);
    for (const { facts, warmUp, times, losses, cores, peakMb } of both) {
      expect([facts, warmUp, times, losses, cores, peakMb]).toEqual([{ kind: "speaker" }, [5], [8, 11], [5, 8, 11], 2, 7]);
    }
  });

  it.each([
    ["dies", "console.error('out of luck'); process.exit(3)", WrongResult, "it ended (exit code 3): out of luck"],
    ["dies in a round", `console.log('{"facts": {}}'); process.stdin.once("data", () => process.exit(4))`, WrongResult, "it ended (exit code 4)"],
    ["lacks something", `console.log('{"missing": "no adapter"}')`, NotHere, "no adapter"],
  ])("says so when a contender %s", async (_name, source, kind, message) => {
    const played = contest([program(source)], { warmUp: 1, rounds: 1, units: 1 });
    await expect(played).rejects.toThrow(kind);
    await expect(played).rejects.toThrow(message);
  });

  it("says so when a contender does not exist", async () => {
    const played = contest([{ name: "ghost", command: "/no/such/program", args: [] }], { warmUp: 1, rounds: 1, units: 1 });
    await expect(played).rejects.toThrow(/ghost ended .*ENOENT/);
  });
});

describe("a row", () => {
  const row = (run: () => ReturnType<typeof figures>) => [{ name: "a-row", about: "a test", run }];

  it("that is wrong fails, one that lacks something does not", async () => {
    const wrong = await measureRows(row(() => figures("one", () => Promise.reject(new WrongResult("off by one")))));
    expect(wrong[0].figures).toEqual([{ name: "one", status: "failed", reason: "off by one" }]);
    expect(allRight(wrong)).toBe(false);
    const absent = await measureRows(row(() => figures("one", () => Promise.reject(new NotHere("no adapter")))));
    expect(absent[0].figures).toEqual([{ name: "one", status: "not run", reason: "no adapter" }]);
    expect(allRight(absent)).toBe(true);
  });

  it("that throws anything else fails as a whole", async () => {
    const [{ figures: broken }] = await measureRows(row(() => Promise.reject(new Error("a bug"))));
    expect(broken).toEqual([{ name: "row", status: "failed", reason: "a bug" }]);
  });
});

it("counts what others do while a contender works", async () => {
  countAnew();
  expect(coresOfOthers()).toBeNull();
  const work = async (cpuMs: number) => {
    const end = performance.now() + 300;
    while (performance.now() < end);
    return { cpuMs };
  };
  // This very process is busy, and is one of the others unless it owns up to it.
  await countOthers(() => work(0));
  expect(coresOfOthers()).toBeGreaterThan(0.5);
  countAnew();
  await countOthers(() => work(1e9));
  expect(coresOfOthers()).toBe(0);
});
