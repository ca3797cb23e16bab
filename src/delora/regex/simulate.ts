import { isWord } from "./characters.ts";
import type { Instruction, Program } from "./program.ts";
import type { Assertion } from "./syntax.ts";

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

/** A thread waits at an instruction that reads a character or ends the match. */
interface Thread {
  readonly at: Instruction;
  readonly trail: Trail | null;
}

/** An instruction that is still to be followed, with the level of `Instruction`. */
interface Pending extends Thread {
  readonly level: number;
}

/**
 * Runs the automaton over a text, all its threads side by side (R. Pike's machine, as in R. Cox, Regular
 * Expression Matching: the Virtual Machine Approach, 2009). Threads are kept in the order in which a
 * backtracking matcher would try them, and the first to reach a state at a position is the only one that
 * matters there: so every state is entered once for each position, and the time is O(states × text).
 *
 * @param text as code points
 * @returns what the match that Python prefers has saved, or `undefined` when there is no match. A program
 * that keeps no groups stops at the first match it finds.
 */
export function simulate(
  program: Program,
  text: readonly number[],
  question: Question,
): Trail | null | undefined {
  const closure = new Closure(program, text);
  let found: Trail | null | undefined;
  let threads: Thread[] = [];
  closure.follow(program.start, 0, null, 0, threads);
  for (let position = 0; ; position++) {
    const following: Thread[] = [];
    for (const { at, trail } of threads) {
      if (at.op === "match") {
        if (question.toEnd && position < text.length) continue;
        if (!program.keepsGroups) return trail;
        found = trail;
        // The threads behind this one are less preferred.
        break;
      }
      const code = text[position];
      if (at.op === "read" && code !== undefined && at.set.has(code))
        closure.follow(at.next, at.depth, trail, position + 1, following);
    }
    if (position >= text.length) return found;
    if (!question.fromStart && found === undefined)
      closure.follow(program.start, 0, null, position + 1, following);
    if (following.length === 0 && (question.fromStart || found !== undefined)) return found;
    threads = following;
  }
}

/** Finds the threads that an instruction leads to without reading. */
class Closure {
  readonly #text: readonly number[];
  /** For each state, one more than the last position at which it was entered. */
  readonly #entered: Uint32Array;
  /** The less preferred ways, the most preferred of them last. */
  readonly #pending: Pending[] = [];

  constructor(program: Program, text: readonly number[]) {
    this.#text = text;
    this.#entered = new Uint32Array(program.states);
  }

  /** Appends to `threads`, in order of preference, those that start at `start` and are new at `position`. */
  follow(start: Instruction, level: number, trail: Trail | null, position: number, threads: Thread[]): void {
    this.#walk(start, level, trail, position, threads);
    let branch = this.#pending.pop();
    while (branch) {
      this.#walk(branch.at, branch.level, branch.trail, position, threads);
      branch = this.#pending.pop();
    }
  }

  /** Follows one way to its end, and leaves its branches in `#pending`. */
  #walk(start: Instruction, level: number, trail: Trail | null, position: number, threads: Thread[]): void {
    let at = start;
    let now = level;
    let saved = trail;
    while (true) {
      const state = at.state + now;
      if (this.#entered[state] === position + 1) return;
      this.#entered[state] = position + 1;
      switch (at.op) {
        case "read":
        case "match":
          threads.push({ at, trail: saved });
          return;
        case "split":
          this.#pending.push({ at: at.second, level: now, trail: saved });
          at = at.first;
          break;
        case "gate":
          if (now === at.loop) {
            at = at.moved;
            now--;
          } else {
            at = at.stuck;
          }
          break;
        case "save":
          saved = { slot: at.slot, position, earlier: saved };
          at = at.next;
          break;
        case "assert":
          if (!holds(at.assertion, this.#text, position)) return;
          at = at.next;
          break;
      }
    }
  }
}

const LINE_FEED = 0x0a;

/** Whether an assertion holds before character `position` of the text. */
function holds(assertion: Assertion, text: readonly number[], position: number): boolean {
  const end = text.length;
  switch (assertion) {
    case "text-start":
      return position === 0;
    case "line-start":
      return position === 0 || text[position - 1] === LINE_FEED;
    case "text-end":
      return position === end;
    case "line-end":
      return position === end || text[position] === LINE_FEED;
    case "last-line-end":
      return position === end || (position === end - 1 && text[position] === LINE_FEED);
    case "word-boundary":
      return isWordAt(text, position - 1) !== isWordAt(text, position);
    case "no-word-boundary":
      // In an empty text neither \b nor \B holds, up to Python 3.13.
      return end > 0 && isWordAt(text, position - 1) === isWordAt(text, position);
  }
}

function isWordAt(text: readonly number[], position: number): boolean {
  const code = text[position];
  return code !== undefined && isWord(code);
}
