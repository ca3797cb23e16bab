import type { AttrSpecs, AttrValues, OpSpec, Params } from "../tensor/op-spec.ts";
import { type DimNames, type InputList, type InputNames, parseSignature } from "../tensor/signature.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { frontDoor } from "./apply.ts";

type Positional<L extends readonly string[]> = { [K in keyof L]: Tensor | number };

/** An op: called with its inputs in the signature's order, attributes last. Elementwise ops take numbers as scalars too. */
export interface Op<L extends readonly string[] = readonly string[], A extends AttrSpecs = AttrSpecs> {
  (...args: [...inputs: Positional<L>, attrs?: Partial<AttrValues<A>>]): Tensor;
  /** The declaration. */
  readonly spec: OpSpec;
}

/** What a declaration adds to its name and signature. */
export type OpDeclaration<S extends string, A extends AttrSpecs, P extends Params> = Omit<
  OpSpec<InputNames<S>, A, DimNames<S>, P>,
  "name" | "signature" | "attrs"
> & { readonly attrs?: A };

const table: Op[] = [];

/** Every op declared so far, in the order of declaration: what the generated suite walks. */
export const allOps: readonly Op[] = table;

/**
 * Declare an op once. The shape law, the typed call, CPU and GPU execution, the tape entry and the laws that test it all come
 * from this one object.
 *
 * @param name camelCase verb, used in errors
 * @param signature shape law such as `"x[*, d], weight[d] -> y[*, d]"`: `*` broadcasts, `[...]` takes any shape, `:i32`, `:bool`
 * and `:any` mark dtypes, `:float|stored` and `:any|stored` the one input that may be in a stored format
 * @throws SyntaxError on a malformed signature
 */
export function defineOp<const S extends string, const A extends AttrSpecs = Record<never, never>, P extends Params = Record<never, never>>(
  name: string,
  signature: S,
  declaration: OpDeclaration<S, A, P>,
): Op<InputList<S>, A> {
  const spec = { attrs: {}, ...declaration, name, signature: parseSignature(signature) } as unknown as OpSpec;
  const op = Object.assign(frontDoor(spec), { spec }) as unknown as Op<InputList<S>, A>;
  table.push(op as unknown as Op);
  return op;
}
