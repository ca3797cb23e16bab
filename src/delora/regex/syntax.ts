import type { CharacterSet } from "./characters.ts";

/**
 * A condition on a place between two characters. `^` and `\A` are `text-start`, `$` is `last-line-end`; with
 * the flag m, `^` and `$` are `line-start` and `line-end`.
 */
export type Assertion =
  | "text-start"
  | "line-start"
  | "last-line-end"
  | "line-end"
  | "text-end"
  | "word-boundary"
  | "no-word-boundary";

/** The syntax tree of a pattern. Character sets know their flags already. */
export type Node =
  | { readonly kind: "set"; readonly set: CharacterSet }
  | { readonly kind: "assertion"; readonly assertion: Assertion }
  | { readonly kind: "sequence"; readonly items: readonly Node[] }
  /** Alternatives, the preferred one first. */
  | { readonly kind: "choice"; readonly options: readonly Node[] }
  /** `group` counts from 1. */
  | { readonly kind: "capture"; readonly group: number; readonly body: Node }
  | Repetition;

/** A quantified node; `max` may be Infinity. */
export interface Repetition {
  readonly kind: "repetition";
  readonly body: Node;
  readonly min: number;
  readonly max: number;
  readonly greedy: boolean;
  /** As written, such as `{2,5}?`, and where: for errors. */
  readonly text: string;
  readonly position: number;
}

/** The flags that change what a part of a pattern means. */
export interface Flags {
  readonly ignoreCase: boolean;
  readonly multiline: boolean;
  readonly dotAll: boolean;
  readonly verbose: boolean;
}

/** Python's flags of a `str` pattern without any inline flag. */
export const NO_FLAGS: Flags = { ignoreCase: false, multiline: false, dotAll: false, verbose: false };

/** A parsed pattern. */
export interface Syntax {
  readonly root: Node;
  /** The number of capturing groups. */
  readonly groups: number;
  /** The number of each named group. */
  readonly names: ReadonlyMap<string, number>;
}
