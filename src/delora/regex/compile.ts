import { PatternError } from "./errors.ts";
import type { Program } from "./program.ts";
import { ProgramBuilder } from "./program-builder.ts";
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
  readonly #builder = new ProgramBuilder();
  /** The outermost quantifier that is being expanded. */
  #expanding: Repetition | null = null;

  constructor(pattern: string, keepsGroups: boolean) {
    this.#pattern = pattern;
    this.#keepsGroups = keepsGroups;
  }

  compile(root: Node): Program {
    const start = this.#emit(root, this.#builder.match(), 0);
    return this.#builder.build(start, this.#keepsGroups);
  }

  /** The instructions of `node`, which continue at `next`, in `depth` loops that may turn without moving. */
  #emit(node: Node, next: number, depth: number): number {
    switch (node.kind) {
      case "set":
        return this.#checked(this.#builder.read(depth, node.set, next));
      case "assertion":
        return this.#checked(this.#builder.assert(depth, node.assertion, next));
      case "sequence":
        return node.items.reduceRight((after, item) => this.#emit(item, after, depth), next);
      case "choice":
        return this.#emitChoice(node.options, next, depth);
      case "capture": {
        if (!this.#keepsGroups) return this.#emit(node.body, next, depth);
        const end = this.#checked(this.#builder.save(depth, 2 * node.group + 1, next));
        const body = this.#emit(node.body, end, depth);
        return this.#checked(this.#builder.save(depth, 2 * node.group, body));
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

  #emitChoice(options: readonly Node[], next: number, depth: number): number {
    const starts = options.map((option) => this.#emit(option, next, depth));
    return starts.reduceRight((second, first) => {
      const split = this.#split(depth);
      this.#builder.setWays(split, depth, first, second);
      return split;
    });
  }

  /** `x{2,5}` is `xx(x(x(x)?)?)?`, `x{2,}` is `xxx*`: what Python's counters do. */
  #emitRepetition(node: Repetition, next: number, depth: number): number {
    const { body, min, max } = node;
    const mayStick = this.#keepsGroups && canBeEmpty(body);
    let start = next;
    let copies = min;
    if (max === Number.POSITIVE_INFINITY) {
      const split = this.#split(depth);
      const inside = this.#emitTurn(node, { split, again: split, exit: next, depth, mayStick });
      // Only a loop that may get stuck needs a copy of its body for the first turn, which always has a next.
      start = min > 0 && !mayStick ? inside : split;
      if (min > 0 && !mayStick) copies = min - 1;
    } else {
      for (let count = min; count < max; count++) {
        const split = this.#split(depth);
        this.#emitTurn(node, { split, again: start, exit: next, depth, mayStick });
        start = split;
      }
    }
    for (let count = 0; count < copies; count++) {
      const copy = this.#emit(body, start, depth);
      if (copy === start) break;
      start = copy;
    }
    return start;
  }

  /**
   * Lets a split choose between `exit` and one turn of the body, which leads to `again`; a turn that
   * `mayStick`, matching nothing, leads to `exit`. Returns where the turn starts.
   */
  #emitTurn(
    { body, greedy }: Repetition,
    turn: { split: number; again: number; exit: number; depth: number; mayStick: boolean },
  ): number {
    const { split, again, exit, depth, mayStick } = turn;
    const loop = depth + 1;
    const inside = mayStick
      ? this.#emit(body, this.#checked(this.#builder.gate(loop, again, exit)), loop)
      : this.#emit(body, again, depth);
    this.#builder.setWays(split, depth, greedy ? inside : exit, greedy ? exit : inside);
    return inside;
  }

  #split(depth: number): number {
    return this.#checked(this.#builder.split(depth));
  }

  /** The instruction that was just added, unless it is one too many. */
  #checked(instruction: number): number {
    if (this.#builder.states > MAX_STATES) throw this.#tooLarge();
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
