import { PatternError } from "./errors.ts";
import type { Instruction, Place, Program, Step } from "./program.ts";
import type { Node, Repetition } from "./syntax.ts";

/**
 * The most states a pattern may expand to. Matching takes at most this many steps for each character of the
 * text.
 */
export const MAX_STATES = 10_000;

/**
 * Compiles a syntax tree to a nondeterministic automaton (K. Thompson, Regular expression search algorithm,
 * CACM 11(6), 1968), from its end to its start, so that every instruction knows where it leads.
 *
 * @param pattern for errors
 * @param keepsGroups whether the automaton finds Python's groups too. One that does not is smaller: a turn
 * of a loop that reads nothing changes groups only, never whether a text matches.
 * @throws PatternError when it expands to more than `MAX_STATES` states
 */
export function compileSyntax(root: Node, pattern: string, keepsGroups: boolean): Program {
  return new Compiler(pattern, keepsGroups).compile(root);
}

class Compiler {
  readonly #pattern: string;
  readonly #keepsGroups: boolean;
  #states = 0;
  /** The outermost quantifier that is being expanded. */
  #expanding: Repetition | null = null;

  constructor(pattern: string, keepsGroups: boolean) {
    this.#pattern = pattern;
    this.#keepsGroups = keepsGroups;
  }

  compile(root: Node): Program {
    const start = this.#emit(root, this.#add(0, { op: "match" }), 0);
    return { start, states: this.#states, keepsGroups: this.#keepsGroups };
  }

  /** The instructions of `node`, which continue at `next`, in `depth` loops that may turn without moving. */
  #emit(node: Node, next: Instruction, depth: number): Instruction {
    switch (node.kind) {
      case "set":
        return this.#add(depth, { op: "read", set: node.set, next });
      case "assertion":
        return this.#add(depth, { op: "assert", assertion: node.assertion, next });
      case "sequence":
        return node.items.reduceRight((after, item) => this.#emit(item, after, depth), next);
      case "choice":
        return this.#emitChoice(node.options, next, depth);
      case "capture": {
        if (!this.#keepsGroups) return this.#emit(node.body, next, depth);
        const end = this.#add(depth, { op: "save", slot: 2 * node.group + 1, next });
        const body = this.#emit(node.body, end, depth);
        return this.#add(depth, { op: "save", slot: 2 * node.group, next: body });
      }
      case "repetition": {
        const outermost = this.#expanding === null;
        if (outermost) this.#expanding = node;
        const start = this.#emitRepetition(node, next, depth);
        if (outermost) this.#expanding = null;
        return start;
      }
    }
  }

  #emitChoice(options: readonly Node[], next: Instruction, depth: number): Instruction {
    const starts = options.map((option) => this.#emit(option, next, depth));
    return starts.reduceRight((second, first) => this.#add(depth, { op: "split", first, second }));
  }

  /** `x{2,5}` is `xx(x(x(x)?)?)?`, `x{2,}` is `xxx*`: what Python's counters do. */
  #emitRepetition(node: Repetition, next: Instruction, depth: number): Instruction {
    const { body, min, max, greedy } = node;
    const mayStick = this.#keepsGroups && canBeEmpty(body);
    let start = next;
    let copies = min;
    if (max === Number.POSITIVE_INFINITY) {
      const loop = this.#emitLoop(body, { next, depth, greedy, mayStick });
      // Only a loop that may get stuck needs a copy of its body for the first turn, which always has a next.
      start = min > 0 && !mayStick ? loop.body : loop.start;
      if (min > 0 && !mayStick) copies = min - 1;
    } else {
      for (let count = min; count < max; count++) {
        start = this.#emitOption(body, { again: start, exit: next, depth, greedy, mayStick });
      }
    }
    for (let count = 0; count < copies; count++) {
      const copy = this.#emit(body, start, depth);
      if (copy === start) break;
      start = copy;
    }
    return start;
  }

  /** `x*`: its start, and the start of its body. */
  #emitLoop(
    body: Node,
    loop: { next: Instruction; depth: number; greedy: boolean; mayStick: boolean },
  ): { start: Instruction; body: Instruction } {
    const { next, depth, greedy, mayStick } = loop;
    const start = this.#add(depth, { op: "split", first: next, second: next });
    const inside = mayStick
      ? this.#emitTurn(body, { again: start, exit: next, depth })
      : this.#emit(body, start, depth);
    if (greedy) start.first = inside;
    else start.second = inside;
    return { start, body: inside };
  }

  /** `x?` that leads to `again`, or past everything to `exit`. */
  #emitOption(
    body: Node,
    turn: { again: Instruction; exit: Instruction; depth: number; greedy: boolean; mayStick: boolean },
  ): Instruction {
    const { again, exit, depth, greedy, mayStick } = turn;
    const inside = mayStick ? this.#emitTurn(body, turn) : this.#emit(body, again, depth);
    return this.#add(depth, {
      op: "split",
      first: greedy ? inside : exit,
      second: greedy ? exit : inside,
    });
  }

  /** One turn of a body that may match nothing; then there is no other turn. */
  #emitTurn(
    body: Node,
    { again, exit, depth }: { again: Instruction; exit: Instruction; depth: number },
  ): Instruction {
    const loop = depth + 1;
    return this.#emit(body, this.#add(loop, { op: "gate", loop, moved: again, stuck: exit }), loop);
  }

  #add<S extends Step>(depth: number, step: S): Place & S {
    const instruction = { ...step, state: this.#states, depth };
    this.#states += depth + 1;
    if (this.#states > MAX_STATES) throw this.#tooLarge();
    return instruction;
  }

  #tooLarge(): PatternError {
    const quantifier = this.#expanding;
    const construct = quantifier ? `the repetition ${quantifier.text}` : "the pattern";
    return new PatternError({
      code: "too-large",
      pattern: this.#pattern,
      position: quantifier?.position ?? 0,
      reason: `${construct} expands to more than ${MAX_STATES} states`,
      construct,
      advice: quantifier ? "use smaller counts, or * or +" : "split it, or list the module names instead",
    });
  }
}

/** Whether a node can match without reading a character. */
function canBeEmpty(node: Node): boolean {
  switch (node.kind) {
    case "set":
      return false;
    case "assertion":
      return true;
    case "sequence":
      return node.items.every(canBeEmpty);
    case "choice":
      return node.options.some(canBeEmpty);
    case "capture":
      return canBeEmpty(node.body);
    case "repetition":
      return node.min === 0 || canBeEmpty(node.body);
  }
}
