import type { CharacterSet } from "./characters.ts";
import type { Assertion } from "./syntax.ts";

/** What a state does, in the manner of Thompson's construction. */
export const OPS = {
  /** Reads one character of a set. */
  read: 0,
  /** Continues at `next` when an assertion holds. */
  assert: 1,
  /** Notes the position: slot 2g is the start of group g, slot 2g + 1 its end. */
  save: 2,
  /** Continues at `next` and at its operand, `next` being preferred. */
  split: 3,
  /** Continues at `next`. */
  jump: 4,
  /** Ends the match. */
  match: 5,
} as const;

/** A compiled pattern: states by number, in arrays, so that running it allocates nothing for a step. */
export interface Program {
  /** The state it starts in. */
  readonly start: number;
  /** What each state does: one of `OPS`. */
  readonly ops: Uint8Array;
  /** Where each state continues; of a match, nowhere. */
  readonly next: Int32Array;
  /** Of a read an index into `sets`, of an assert into `assertions`, of a save the slot, of a split a state. */
  readonly operands: Int32Array;
  readonly sets: readonly CharacterSet[];
  readonly assertions: readonly Assertion[];
  /** Whether it saves the groups, and leaves loops that move nowhere exactly as Python does. */
  readonly keepsGroups: boolean;
}
