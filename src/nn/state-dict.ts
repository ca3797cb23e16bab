import { PolargradError } from "../tensor/errors.ts";
import { formatShape, sameShape, type Shape } from "../tensor/shape.ts";

/** A tensor whose shape in a state dict is not the module's. */
export interface SizeMismatch {
  readonly key: string;
  /** Shape in the state dict. */
  readonly found: Shape;
  /** Shape in the module. */
  readonly expected: Shape;
}

/** What does not fit between a state dict and a module. */
export interface StateDictProblems {
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly mismatched: readonly SizeMismatch[];
}

const SHOWN = 8;

/** A state dict or a checkpoint that does not fit the module it was to be loaded into. Nothing was loaded. */
export class StateDictError extends PolargradError implements StateDictProblems {
  override readonly name = "StateDictError";
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly mismatched: readonly SizeMismatch[];

  /** @param what what was to be loaded, as the subject of the message: `the state dict`, a path */
  constructor(what: string, module: string, { missing, unexpected, mismatched }: StateDictProblems) {
    const sizes = mismatched.map(
      ({ key, found, expected }) => `"${key}" is ${formatShape(found)} but must be ${formatShape(expected)}`,
    );
    const parts = [
      ...(missing.length > 0 ? [`missing ${list(missing.map((key) => `"${key}"`))}`] : []),
      ...(unexpected.length > 0 ? [`unexpected ${list(unexpected.map((key) => `"${key}"`))}`] : []),
      ...(sizes.length > 0 ? [`wrong size: ${list(sizes)}`] : []),
    ];
    super(`${what} does not fit ${module}: ${parts.join("; ")}`);
    this.missing = missing;
    this.unexpected = unexpected;
    this.mismatched = mismatched;
  }
}

function list(items: readonly string[]): string {
  const rest = items.length - SHOWN;
  return `${items.slice(0, SHOWN).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

/** Anything with a shape; keys of `owner`s that are the same object are aliases of one tensor. */
interface Shaped {
  readonly shape: Shape;
}

/**
 * Compare the tensors of a module with those on offer. A tensor that the module has under several keys (tied
 * weights) is missing only when none of them is there.
 */
export function compareStateDicts(
  own: ReadonlyMap<string, Shaped>,
  offered: ReadonlyMap<string, Shaped>,
): StateDictProblems {
  const given = new Set([...own].filter(([key]) => offered.has(key)).map(([, tensor]) => tensor));
  return {
    missing: [...own].filter(([, tensor]) => !given.has(tensor)).map(([key]) => key),
    unexpected: [...offered.keys()].filter((key) => !own.has(key)),
    mismatched: [...own].flatMap(([key, { shape }]) => {
      const found = offered.get(key)?.shape;
      return found && !sameShape(found, shape) ? [{ key, found, expected: shape }] : [];
    }),
  };
}
