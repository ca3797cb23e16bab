import { GraphError } from "../tensor/errors.ts";
import { keep, openScope, track } from "../tensor/scope.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import { isVariable, newestTensorId, type TapeNode, type Tensor } from "../tensor/tensor.ts";
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
  /** Whose cotangents to return; absent: those of every leaf that requires a gradient. */
  readonly wrt?: readonly Tensor[];
  /** Do not look behind a target: inside a pullback the sweep around this one goes on from there. Default false. */
  readonly stopAtTargets?: boolean;
  /** Keep the graph usable. */
  readonly retainGraph: boolean;
  /** Record the sweep itself. */
  readonly createGraph: boolean;
}

/** What one sweep visits. */
interface Route {
  /** The tensors between `root` and the targets, outputs before inputs. */
  readonly path: readonly Tensor[];
  /** Those of them that are targets or lead to one. */
  readonly needed: ReadonlySet<Tensor>;
  readonly isTarget: (t: Tensor) => boolean;
  /** The node to pull back through at `t`; null where the way ends. */
  readonly nodeAt: (t: Tensor) => TapeNode | null;
}

function routeOf(root: Tensor, { wrt, stopAtTargets = false }: SweepOptions): Route {
  const targets = wrt && new Set(wrt);
  const isTarget = (t: Tensor): boolean => (targets ? targets.has(t) : isVariable(t));
  const ends = (t: Tensor): boolean => stopAtTargets && isTarget(t);
  const seen = new Set<Tensor>([root]);
  const stack = [root];
  for (let t = stack.pop(); t; t = stack.pop()) {
    if (ends(t)) continue;
    const { node } = t;
    if (!node) continue;
    for (let i = 0; i < node.inputs.length; i++) {
      const input = node.inputs[i];
      if (!node.variables[i] || seen.has(input)) continue;
      seen.add(input);
      stack.push(input);
    }
  }
  const ascending = [...seen].sort((a, b) => a.id - b.id);
  const needed = new Set<Tensor>();
  const nodeAt = (t: Tensor): TapeNode | null => (!ends(t) && t.node && wantedOf(t.node, needed).includes(true) ? t.node : null);
  for (const t of ascending) if (isTarget(t) || nodeAt(t)) needed.add(t);
  return { path: ascending.filter((t) => needed.has(t)).reverse(), needed, isTarget, nodeAt };
}

/** Which inputs of a node the sweep wants a cotangent of. */
const wantedOf = (node: TapeNode, needed: ReadonlySet<Tensor>): boolean[] =>
  node.inputs.map((input, i) => node.variables[i] && needed.has(input));

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
  const { path, needed, isTarget, nodeAt } = routeOf(root, options);
  for (const t of path) {
    const node = nodeAt(t);
    if (node) checkUsable(node);
  }
  const cotangents = new Map<Tensor, Tensor>([[root, seed]]);
  const run = new Cotangents(cotangents, options.createGraph);
  try {
    withGrad(options.createGraph, () => {
      for (const t of path) {
        const dy = cotangents.get(t);
        const node = nodeAt(t);
        if (dy && node) run.pull(t, node, dy, needed);
        if (!isTarget(t)) run.drop(t);
        if (node && !options.retainGraph) free(node);
      }
    });
  } catch (error) {
    run.abandon();
    throw error;
  }
  return new Map(path.filter(isTarget).flatMap((t) => {
    const cotangent = cotangents.get(t);
    return cotangent ? [[t, cotangent] as const] : [];
  }));
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
      const wanted = wantedOf(node, needed);
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

  /** Free what is in flight: the sweep has failed. */
  abandon(): void {
    for (const cotangent of this.#uses.keys()) this.#dispose(cotangent);
    this.#uses.clear();
  }

  #release(cotangent: Tensor): void {
    const left = (this.#uses.get(cotangent) ?? 1) - 1;
    if (left > 0) {
      this.#uses.set(cotangent, left);
      return;
    }
    this.#uses.delete(cotangent);
    this.#dispose(cotangent);
  }

  #dispose(cotangent: Tensor): void {
    if (!this.#keepAll && cotangent.id > this.#madeBefore) cotangent.dispose();
  }
}

/** Let go of a used node, and of what it was the last to read. */
function free(node: TapeNode): void {
  node.freed = true;
  for (const read of node.reads) {
    read.pendingUses--;
    if (read.ownedByTape && read.pendingUses === 0 && !isVariable(read)) keep(read).dispose();
  }
}
