import type { CharacterSet } from "./characters.ts";
import type { Assertion } from "./syntax.ts";

/**
 * One step of a compiled pattern, in the manner of Thompson's construction.
 *
 * Python leaves a loop whose body can match the empty text, such as `(a*)*`, when an iteration moved nowhere,
 * and that shows in the groups. So in a program that keeps groups, a thread has to know which of the loops
 * around it have moved. `depth` counts those loops; it is 0 everywhere in other programs. An inner iteration
 * is never older than the outer one, so one number says it all: the *level*, the number of these loops, from
 * the outside in, that have moved. A state is an instruction with a level: `state` numbers the one of level
 * 0, and the next `depth` numbers are its other levels.
 */
export type Instruction = Place & Step;

/** Where an instruction stands, as in `Instruction`. */
export interface Place {
  readonly state: number;
  readonly depth: number;
}

/** What an instruction does. `next` and the like are where the thread continues. */
export type Step =
  /** Reads one character of the set. */
  | { readonly op: "read"; readonly set: CharacterSet; readonly next: Instruction }
  | { readonly op: "assert"; readonly assertion: Assertion; readonly next: Instruction }
  /** Notes the position: slot 2g is the start of group g, slot 2g + 1 its end. */
  | { readonly op: "save"; readonly slot: number; readonly next: Instruction }
  /** Continues at both, `first` being preferred. Loops close by assigning to it, hence not readonly. */
  | { readonly op: "split"; first: Instruction; second: Instruction }
  /** The end of an iteration of loop `loop`: to `moved` when it read something, else to `stuck`. */
  | { readonly op: "gate"; readonly loop: number; readonly moved: Instruction; readonly stuck: Instruction }
  | { readonly op: "match" };

/** A compiled pattern. */
export interface Program {
  readonly start: Instruction;
  /** How many states there are: all instructions with all their levels. */
  readonly states: number;
  /** Whether it saves the groups, and leaves loops that move nowhere exactly as Python does. */
  readonly keepsGroups: boolean;
}
