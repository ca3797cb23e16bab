import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { DIFFERENCES } from "./differences.ts";
import { GOLDENS, useGoldens } from "./models.ts";
import { PLAYS } from "./plays.ts";
import { type Outcome, Stage } from "./stage.ts";

interface Recorded {
  readonly name: string;
  readonly base: string;
  readonly steps: readonly Outcome[];
}

const recorded = JSON.parse(readFileSync(`${GOLDENS}scenes.json`, "utf8")) as {
  readonly defaults: Record<string, Record<string, unknown>>;
  readonly scenes: readonly Recorded[];
};

const documented = readFileSync(new URL("../../../docs/peft-differences.md", import.meta.url), "utf8");

useGoldens();

/** A recorded list of outcomes, where a step has run others. */
const isNested = (value: unknown): value is Outcome[] =>
  Array.isArray(value) && value.length > 0 && typeof value[0] === "object" && value[0] !== null && "step" in value[0];

/** What is expected here: PEFT's outcome, or ours where it differs on purpose. */
function expectedOf(name: string, outcomes: readonly Outcome[], prefix = ""): Outcome[] {
  return outcomes.map((outcome, i) => {
    const place = `${prefix}${i}`;
    const value = isNested(outcome.value) ? { value: expectedOf(name, outcome.value, `${place}.`) } : {};
    const ours = DIFFERENCES[name]?.steps[place] ?? {};
    const merged = { ...outcome, ...value, ...ours };
    return Object.fromEntries(Object.entries(merged).filter(([, part]) => part !== null)) as unknown as Outcome;
  });
}

function outcomeAt(outcomes: readonly Outcome[], [first, ...rest]: readonly string[]): Outcome | undefined {
  const outcome = outcomes[Number(first)];
  return rest.length > 0 && isNested(outcome?.value) ? outcomeAt(outcome.value, rest) : outcome;
}

const roomy = (value: number) => expect.closeTo(value, 4);

/** Numbers may differ by rounding. */
function rounded(value: unknown): unknown {
  if (typeof value === "number") return Number.isInteger(value) ? value : roomy(value);
  if (Array.isArray(value)) return value.map(rounded);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, rounded(item)]));
}

/** The recorded texts have to be in ours, which may add advice. */
const within = (text: string): unknown => expect.stringContaining(text.trim());

function expectOutcome(actual: Outcome, expected: Outcome, place: string): void {
  const at = `step ${place}, ${JSON.stringify(actual.step).slice(0, 100)}`;
  expect(actual.error?.[1] ?? null, `${at}: error`).toEqual(expected.error ? within(expected.error[1]) : null);
  const warnings = [...new Set(actual.warnings ?? [])];
  expect(warnings, `${at}: warnings`).toEqual((expected.warnings ?? []).map(within));
  if (isNested(expected.value)) {
    const nested = actual.value as Outcome[];
    for (const [i, outcome] of expected.value.entries()) expectOutcome(nested[i], outcome, `${place}.${i}`);
  } else {
    expect(actual.value, `${at}: value`).toEqual(rounded(expected.value));
  }
  expect(actual.state ?? {}, `${at}: state`).toEqual(expected.state ?? {});
}

describe("PEFT's behaviour, scene by scene", () => {
  it("has many scenes, and every difference is about one of them", () => {
    const names = recorded.scenes.map(({ name }) => name);
    expect(names.length).toBeGreaterThanOrEqual(120);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(expect.arrayContaining(Object.keys(DIFFERENCES)));
  });

  it.each(Object.entries(DIFFERENCES))("differs on purpose, and docs/peft-differences.md says so: %s", (name, { steps }) => {
    expect(documented).toContain(`\`${name}\``);
    const scene = recorded.scenes.find((one) => one.name === name);
    for (const [place, ours] of Object.entries(steps)) {
      const theirs = outcomeAt(scene?.steps ?? [], place.split("."));
      const isOther = Object.entries(ours).some(([key, value]) => {
        return JSON.stringify(value) !== JSON.stringify(theirs?.[key as keyof Outcome] ?? null);
      });
      expect(isOther, `step ${place}`).toBe(true);
    }
  });

  it.each(recorded.scenes.map((scene) => [scene.name, scene] as const))("%s", async (name, { base, steps }) => {
    const played = await Stage.play(
      base,
      steps.map(({ step }) => step),
      { plays: PLAYS, defaults: recorded.defaults },
    );
    for (const [i, expected] of expectedOf(name, steps).entries()) expectOutcome(played[i], expected, String(i));
  });
});
