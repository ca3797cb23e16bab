import fc from "fast-check";
import type { OpSpec } from "../../tensor/op-spec.ts";
import type { CallKind } from "../arbitraries.ts";
import { type CallOptions, callsOf, describeCall, type DeclaredOp, type OpCall } from "../calls.ts";
import { LawError } from "../errors.ts";
import { seedFor, testSeed } from "../random.ts";

/** One property that every op has to have: `it(law.name, law.run)`. */
export interface Law {
  readonly name: string;
  /** Draws calls and checks them; rejects with the failing call, its seed and what was wrong. */
  readonly run: () => Promise<void>;
}

/** What a law is made for. */
export interface LawContext {
  readonly op: DeclaredOp;
  readonly spec: OpSpec;
  readonly seed: number | undefined;
  /** Multiplies the number of drawn calls. */
  readonly runs: number;
}

/** How many calls of each kind a law draws. */
export type CallCounts = Partial<Readonly<Record<CallKind, number>>>;

/** Holds one drawn call to a law. */
export type CheckCall = (call: OpCall) => Promise<void> | void;

/** Draw calls of the given kinds and hold each to `check`. */
export async function forCalls(context: LawContext, counts: CallCounts, check: CheckCall): Promise<void> {
  for (const [kind, count] of Object.entries(counts) as [CallKind, number][])
    await forKind(context, { kind }, count, check);
}

/** Draw `count` calls of one kind and hold each to `check`. Rejects with the smallest failing call it finds. */
export async function forKind(
  { op, spec, seed, runs }: LawContext,
  options: CallOptions,
  count: number,
  check: CheckCall,
): Promise<void> {
  const property = fc.asyncProperty(callsOf(op, options), async (call) => check(call));
  const base = testSeed(seed);
  const details = await fc.check(property, {
    seed: seedFor(base, `${spec.name} ${options.kind} ${options.edge}`),
    numRuns: Math.max(1, Math.round(count * runs)),
  });
  if (!details.failed) return;
  const cause = details.errorInstance;
  const [call] = details.counterexample ?? [];
  const why = cause instanceof Error ? cause.message : String(cause ?? "the law could not be tried");
  throw new LawError(
    spec.name,
    `${why}\n  in ${call ? describeCall(call) : "no call"}\n  repeat it with POLARGRAD_SEED=${base}`,
    { cause },
  );
}

const said = new Set<string>();

/** Print once that a law leaves something out, and why. */
export function announceSkip(op: string, what: string): void {
  const line = `${op}: ${what}`;
  if (!said.has(line)) console.warn(line);
  said.add(line);
}
