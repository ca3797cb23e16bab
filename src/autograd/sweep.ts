import { GraphError } from "../tensor/errors.ts";
import { keep, openScope, track } from "../tensor/scope.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import { newestTensorId, type TapeNode, type Tensor } from "../tensor/tensor.ts";
import { withGrad } from "./mode.ts";
import { versionOf } from "./record.ts";

type AddCotangents = (a: Tensor, b: Tensor) => Tensor;
let add: AddCotangents = () => {
  throw new GraphError("backward: import polargrad's ops first");
};

/** The ops announce their `add` here: the one op that a sweep itself needs. */
export function provideAdd(op: AddCotangents): void {
  add = op;
}

/** How a sweep runs. */
export interface SweepOptions {
  /** Stop at these and return their cotangents; absent: at every leaf that requires a gradient. */
  readonly wrt?: readonly Tensor[];
  /** Keep the graph usable. */
  readonly retainGraph: boolean;
  /** Record the sweep itself. */
  readonly createGraph: boolean;
  /** Free constants of the graph with larger ids only: inside another sweep older ones serve other nodes too. Default 0: all. */
  readonly madeSince?: number;
}

/** The tensors between `root` and the targets, in the order of the sweep (outputs before inputs), and the targets reached. */
function order(root: Tensor, wrt: ReadonlySet<Tensor> | null): { path: Tensor[]; needed: Set<Tensor> } {
  const seen = new Set<Tensor>([root]);
  const stack = [root];
  for (let t = stack.pop(); t; t = stack.pop()) {
    if (wrt?.has(t)) continue;
    for (const input of t.node?.inputs ?? []) {
      if (!input.requiresGrad || seen.has(input)) continue;
      seen.add(input);
      stack.push(input);
    }
  }
  const ascending = [...seen].sort((a, b) => a.id - b.id);
  const needed = new Set<Tensor>();
  for (const t of ascending) {
    const target = wrt ? wrt.has(t) : t.isLeaf && t.requiresGrad;
    if (target || t.node?.inputs.some((input) => needed.has(input))) needed.add(t);
  }
  return { path: ascending.filter((t) => needed.has(t)).reverse(), needed };
}

function checkUsable(node: TapeNode): void {
  if (node.freed) {
    throw new GraphError(`backward: the graph of this ${node.op} was freed by an earlier backward; pass { retainGraph: true } to that one`);
  }
  node.inputs.forEach((input, i) => {
    if (versionOf(input) === node.versions[i]) return;
    throw new GraphError(`backward: a parameter of shape ${formatShape(input.shape)} was assigned after ${node.op} had used it; run forward again`);
  });
}

/**
 * Reverse-mode sweep from `root` with cotangent `seed`: the cotangent of each target. Intermediates are freed as they are used,
 * unless the graph is retained.
 */
export function sweep(root: Tensor, seed: Tensor, options: SweepOptions): Map<Tensor, Tensor> {
  const wrt = options.wrt ? new Set(options.wrt) : null;
  const { path, needed } = order(root, wrt);
  for (const t of path) if (t.node) checkUsable(t.node);
  const cotangents = new Map<Tensor, Tensor>([[root, seed]]);
  const isTarget = (t: Tensor): boolean => (wrt ? wrt.has(t) : t.isLeaf);
  const run = new Cotangents(cotangents, options.createGraph);
  const constants = new Set<Tensor>();
  withGrad(options.createGraph, () => {
    for (const t of path) {
      const dy = cotangents.get(t);
      if (dy && t.node && !wrt?.has(t)) run.pull(t, t.node, dy, needed);
      if (!isTarget(t)) run.drop(t);
      if (t.node && !options.retainGraph && !wrt?.has(t)) free(t, t.node, constants, options.madeSince ?? 0);
    }
  });
  for (const t of constants) keep(t).dispose();
  const result = new Map<Tensor, Tensor>();
  for (const t of wrt ?? path) {
    const cotangent = cotangents.get(t);
    if (cotangent && isTarget(t)) result.set(t, cotangent);
  }
  return result;
}

/** Hand the results of a sweep inside a pullback to the scope of the sweep around it, which then frees what it only adds to others. */
export function trackNew(cotangents: Iterable<Tensor>, dy: Tensor): void {
  for (const cotangent of cotangents) if (cotangent.id > dy.id) track(cotangent);
}

/** The cotangents in flight, with what owns them: a temporary of the sweep is disposed of as soon as nobody waits for it. */
class Cotangents {
  readonly #map: Map<Tensor, Tensor>;
  /** Only tensors made by the sweep are its to free. */
  readonly #madeBefore = newestTensorId();
  readonly #keepAll: boolean;
  readonly #uses = new Map<Tensor, number>();

  constructor(map: Map<Tensor, Tensor>, keepAll: boolean) {
    this.#map = map;
    this.#keepAll = keepAll;
  }

  /** Run one node's pullback and add its results to the cotangents of its inputs. */
  pull(output: Tensor, node: TapeNode, dy: Tensor, needed: ReadonlySet<Tensor>): void {
    const scope = this.#keepAll ? null : openScope();
    try {
      const wanted = node.inputs.map((input) => needed.has(input));
      node.pullback(dy, wanted).forEach((cotangent, i) => {
        if (cotangent && wanted[i]) this.#accumulate(output, node, node.inputs[i], cotangent);
      });
    } finally {
      for (const temporary of scope?.close() ?? []) {
        if (!this.#uses.has(temporary as Tensor)) temporary.dispose();
      }
    }
  }

  #accumulate(output: Tensor, node: TapeNode, input: Tensor, cotangent: Tensor): void {
    if (!sameShape(cotangent.shape, input.shape)) {
      throw new GraphError(
        `${node.op}: its gradient for an input of shape ${formatShape(input.shape)} has shape ${formatShape(cotangent.shape)} (output ${formatShape(output.shape)})`,
      );
    }
    const before = this.#map.get(input);
    const sum = before ? add(before, cotangent) : cotangent;
    this.#uses.set(sum, (this.#uses.get(sum) ?? 0) + 1);
    this.#map.set(input, sum);
    if (before) this.#release(before);
  }

  /** The cotangent of `t` has been used. */
  drop(t: Tensor): void {
    const cotangent = this.#map.get(t);
    if (!cotangent) return;
    this.#map.delete(t);
    this.#release(cotangent);
  }

  #release(cotangent: Tensor): void {
    const left = (this.#uses.get(cotangent) ?? 1) - 1;
    if (left > 0) {
      this.#uses.set(cotangent, left);
      return;
    }
    this.#uses.delete(cotangent);
    if (!this.#keepAll && cotangent.id > this.#madeBefore) cotangent.dispose();
  }
}

/** Let go of a used node: of its output when only the graph needed it, and, once the sweep is over, of its constant inputs. */
function free(t: Tensor, node: TapeNode, constants: Set<Tensor>, since: number): void {
  node.freed = true;
  for (const input of node.inputs) if (input.ownedByTape && !input.requiresGrad && input.id > since) constants.add(input);
  if (t.ownedByTape) keep(t).dispose();
}
