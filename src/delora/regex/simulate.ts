import { holds } from "./assertions.ts";
import { OPS, type Program } from "./program.ts";

// Constants of this file: the inner loop compares with them.
const { read: READ, assert: ASSERT, save: SAVE, split: SPLIT, match: MATCH } = OPS;

/** The positions that a thread has saved, the newest first. Threads share their tails. */
export interface Trail {
  readonly slot: number;
  readonly position: number;
  readonly earlier: Trail | null;
}

/** What a simulation is asked. */
export interface Question {
  /** Whether the match must start at the start of the text. */
  readonly fromStart: boolean;
  /** Whether it must end at the end of the text. */
  readonly toEnd: boolean;
}

/**
 * Runs the automaton over a text, all its threads side by side (R. Pike's machine, as in R. Cox, Regular
 * Expression Matching: the Virtual Machine Approach, 2009). Threads are kept in the order in which a
 * backtracking matcher would try them, and the first to reach a state at a position is the only one that
 * matters there: so every state is entered once for each position, and the time is O(states × text).
 *
 * @param text as code points
 * @returns what the match that Python prefers has saved, or `undefined` when there is no match. A program
 * that keeps no groups stops at the first match it finds, and allocates nothing for a step.
 */
export function simulate(program: Program, text: Int32Array, question: Question): Trail | null | undefined {
  const { ops, next, operands, sets, keepsGroups } = program;
  const { fromStart, toEnd } = question;
  const closure = new Closure(program, text);
  let threads = new Threads(ops.length);
  let following = new Threads(ops.length);
  let found: Trail | null | undefined;
  closure.follow(program.start, null, 0, threads);
  for (let position = 0; ; position++) {
    const atEnd = position === text.length;
    following.count = 0;
    for (let i = 0; i < threads.count; i++) {
      const state = threads.states[i];
      const trail = threads.trails[i];
      if (ops[state] === MATCH) {
        if (toEnd && !atEnd) continue;
        if (!keepsGroups) return trail;
        found = trail;
        // The threads behind this one are less preferred.
        break;
      }
      if (!atEnd && sets[operands[state]].has(text[position]))
        closure.follow(next[state], trail, position + 1, following);
    }
    if (atEnd) return found;
    const mayStart = !fromStart && found === undefined;
    if (mayStart) closure.follow(program.start, null, position + 1, following);
    else if (following.count === 0) return found;
    [threads, following] = [following, threads];
  }
}

/** Threads in order of preference, each waiting in a state that reads a character or ends the match. */
class Threads {
  count = 0;
  readonly states: Int32Array;
  readonly trails: (Trail | null)[];

  constructor(states: number) {
    this.states = new Int32Array(states);
    this.trails = new Array<Trail | null>(states).fill(null);
  }

  add(state: number, trail: Trail | null): void {
    this.states[this.count] = state;
    this.trails[this.count] = trail;
    this.count++;
  }
}

/** Finds the threads that a state leads to without reading. */
class Closure {
  readonly #program: Program;
  readonly #text: Int32Array;
  /** For each state, one more than the last position at which it was entered. */
  readonly #entered: Uint32Array;
  /** The less preferred ways, the most preferred of them last. */
  readonly #pending: Threads;

  constructor(program: Program, text: Int32Array) {
    this.#program = program;
    this.#text = text;
    this.#entered = new Uint32Array(program.ops.length);
    this.#pending = new Threads(program.ops.length);
  }

  /** Adds to `threads`, in order of preference, those that start at `start` and are new at `position`. */
  follow(start: number, trail: Trail | null, position: number, threads: Threads): void {
    const { ops, next, operands } = this.#program;
    const entered = this.#entered;
    const pending = this.#pending;
    let state = start;
    let saved = trail;
    while (true) {
      // This way is at its end: go back to the newest branch.
      if (entered[state] === position + 1) {
        if (pending.count === 0) return;
        pending.count--;
        state = pending.states[pending.count];
        saved = pending.trails[pending.count];
        continue;
      }
      entered[state] = position + 1;
      const op = ops[state];
      if (op === READ || op === MATCH) {
        threads.add(state, saved);
        continue;
      }
      if (op === ASSERT && !this.#holds(state, position)) continue;
      if (op === SPLIT) pending.add(operands[state], saved);
      else if (op === SAVE) saved = { slot: operands[state], position, earlier: saved };
      state = next[state];
    }
  }

  #holds(state: number, position: number): boolean {
    const { operands, assertions } = this.#program;
    return holds(assertions[operands[state]], this.#text, position);
  }
}
