import type { CharacterSet } from "./characters.ts";
import { OPS, type Program } from "./program.ts";
import type { Assertion } from "./syntax.ts";

/**
 * Writes the states of a program, from its end to its start.
 *
 * Python leaves a loop whose body can match the empty text, such as `(a*)*`, when an iteration moved nowhere,
 * and that shows in the groups. So in a program that keeps groups, a thread has to know which of the loops
 * around it have moved. `depth` counts those loops; it is 0 everywhere in other programs. An inner iteration
 * is never older than the outer one, so one number says it all: the *level*, the number of these loops, from
 * the outside in, that have moved. An instruction is therefore `depth + 1` states in a row, one for each
 * level, and is named by the first of them.
 */
export class ProgramBuilder {
  readonly #ops: number[] = [];
  readonly #next: number[] = [];
  readonly #operands: number[] = [];
  readonly #sets = new Map<CharacterSet, number>();
  readonly #assertions = new Map<Assertion, number>();

  /** The number of states. */
  get states(): number {
    return this.#ops.length;
  }

  /** Reads one character of the set; then all loops around it have moved. */
  read(depth: number, set: CharacterSet, next: number): number {
    const operand = numberOf(set, this.#sets);
    return this.#add(depth, OPS.read, () => next + depth, operand);
  }

  assert(depth: number, assertion: Assertion, next: number): number {
    const operand = numberOf(assertion, this.#assertions);
    return this.#add(depth, OPS.assert, (level) => next + level, operand);
  }

  save(depth: number, slot: number, next: number): number {
    return this.#add(depth, OPS.save, (level) => next + level, slot);
  }

  /** Without ways for now: see `setWays`. */
  split(depth: number): number {
    return this.#add(depth, OPS.split, () => 0);
  }

  /** Where a split of this depth leads, the preferred way first. */
  setWays(split: number, depth: number, first: number, second: number): void {
    for (let level = 0; level <= depth; level++) {
      this.#next[split + level] = first + level;
      this.#operands[split + level] = second + level;
    }
  }

  /** The end of an iteration of the innermost loop: to `moved` when it read something, else to `stuck`. */
  gate(depth: number, moved: number, stuck: number): number {
    return this.#add(depth, OPS.jump, (level) => (level === depth ? moved + level - 1 : stuck + level));
  }

  match(): number {
    return this.#add(0, OPS.match, () => 0);
  }

  build(start: number, keepsGroups: boolean): Program {
    return {
      start,
      ops: Uint8Array.from(this.#ops),
      next: Int32Array.from(this.#next),
      operands: Int32Array.from(this.#operands),
      sets: [...this.#sets.keys()],
      assertions: [...this.#assertions.keys()],
      keepsGroups,
    };
  }

  #add(depth: number, op: number, next: (level: number) => number, operand = 0): number {
    const start = this.#ops.length;
    for (let level = 0; level <= depth; level++) {
      this.#ops.push(op);
      this.#next.push(next(level));
      this.#operands.push(operand);
    }
    return start;
  }
}

/** The number of a value in order of first use. */
function numberOf<T>(value: T, numbers: Map<T, number>): number {
  const known = numbers.get(value) ?? numbers.size;
  numbers.set(value, known);
  return known;
}
