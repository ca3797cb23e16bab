import type { AdamwNumbers } from "../ops/many.ts";
import { lasting } from "../ops/device.ts";
import { onReplay } from "../ops/host-tensor.ts";
import { type AdamwResult, type AdamwSet, adamwMany, noGrad, tidy, zerosLike } from "../ops/index.ts";
import { PolargradError } from "../tensor/errors.ts";
import { Parameter } from "../tensor/parameter.ts";
import { keep } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { refuseUnknownOptions } from "./check-options.ts";

/** Settings of AdamW, PyTorch's defaults. */
export interface AdamWOptions {
  /** Learning rate. Default 1e-3. */
  readonly lr?: number;
  /** Decay rates of the running means of the gradient and of its square. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Added to the root of the second moment, after its bias correction. Default 1e-8. */
  readonly eps?: number;
  /** Decoupled weight decay: a parameter shrinks by the factor 1 - lr·weightDecay a step. Default 0.01. */
  readonly weightDecay?: number;
}

/** Parameters that share settings. */
export interface ParamGroup {
  readonly params: readonly Parameter[];
  /** Learning rate now; schedules change it. */
  lr: number;
  /** Learning rate that a schedule scales. */
  readonly initialLr: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly weightDecay: number;
}

const OPTIONS = ["lr", "betas", "eps", "weightDecay"];

interface Moments {
  step: number;
  expAvg: Tensor;
  expAvgSq: Tensor;
}

/** Parameters that take the same step. */
interface ParameterSet extends AdamwSet {
  readonly params: readonly Parameter[];
  readonly moments: readonly Moments[];
}

/** A list of parameters with settings of its own. */
export type ParamGroupInit = { readonly params: Iterable<Tensor> } & AdamWOptions;

/**
 * AdamW (Loshchilov & Hutter 2019, "Decoupled weight decay regularization"), step for step as `torch.optim.AdamW`:
 * `p ← p(1 - lr·wd) - lr · m̂ / (√v̂ + eps)`.
 */
export class AdamW {
  readonly paramGroups: readonly ParamGroup[];
  readonly #moments = new Map<Parameter, Moments>();

  /**
   * @param params parameters, or groups of them with settings of their own
   * @throws PolargradError when there are none, one is not a Parameter or is given twice, or a setting is unknown or out of range
   */
  constructor(params: Iterable<Tensor> | readonly ParamGroupInit[], options: AdamWOptions = {}) {
    const list = [...params] as (Tensor | ParamGroupInit)[];
    if (list.length === 0) throw new PolargradError("AdamW: the parameter list is empty; is anything trainable?");
    const groups = list.every((item): item is ParamGroupInit => "params" in item) ? list : [{ params: list as Tensor[] }];
    refuseUnknownOptions("AdamW", options, OPTIONS);
    for (const group of groups) refuseUnknownOptions("AdamW's parameter group", group, ["params", ...OPTIONS]);
    this.paramGroups = groups.map((group) => makeGroup({ ...options, ...group }));
    const all = this.paramGroups.flatMap(({ params }) => params);
    if (new Set(all).size < all.length) throw new PolargradError("AdamW: a parameter was given twice; it would be updated twice a step");
  }

  /** Update every parameter that has a gradient. */
  step(): void {
    noGrad(() => {
      tidy(() => {
        const sets = this.paramGroups.flatMap((group) => this.#setsOf(group));
        for (const [set, results] of adamwMany(sets)) take(results, set);
      });
    });
  }

  /** Forget the gradients. */
  zeroGrad(): void {
    for (const { params } of this.paramGroups) {
      for (const parameter of params) {
        parameter.grad?.dispose();
        parameter.grad = null;
      }
    }
  }

  /** Free the moments; the optimizer starts anew if it is used again. */
  dispose(): void {
    for (const { expAvg, expAvgSq } of this.#moments.values()) {
      expAvg.dispose();
      expAvgSq.dispose();
    }
    this.#moments.clear();
  }

  /** The parameters of a group that have a gradient; those of one kind that have taken as many steps are a set. */
  #setsOf(group: ParamGroup): ParameterSet[] {
    const { params, betas: [beta1, beta2], eps, weightDecay: decay } = group;
    const sets = new Map<string, Parameter[]>();
    for (const parameter of params) {
      if (!parameter.grad) continue;
      const key = `${parameter.device} ${parameter.dtype} ${this.#moments.get(parameter)?.step ?? 0}`;
      const same = sets.get(key);
      if (same) same.push(parameter);
      else sets.set(key, [parameter]);
    }
    return [...sets.values()].map((same) => {
      const moments = this.#momentsOf(same);
      const tensors = same.map((p, i) => ({ p, g: p.grad as Tensor, m: moments[i].expAvg, v: moments[i].expAvgSq }));
      const numbers = (): AdamwNumbers => {
        const step = moments[0].step + 1;
        return { beta1, beta2, lr: group.lr, eps, decay, correction1: 1 - beta1 ** step, correction2: 1 - beta2 ** step };
      };
      return { params: same, moments, tensors, numbers };
    });
  }

  /** Those of parameters of one kind. */
  #momentsOf(same: readonly Parameter[]): Moments[] {
    const fresh = same.filter((parameter) => !this.#moments.has(parameter));
    const [first, second] = lasting(same[0].device, () => [zerosLike(fresh), zerosLike(fresh)]);
    for (const [i, parameter] of fresh.entries()) {
      this.#moments.set(parameter, { step: 0, expAvg: keep(first[i]), expAvgSq: keep(second[i]) });
    }
    return same.map((parameter) => this.#moments.get(parameter) as Moments);
  }
}

/** The values after a step. */
function take(results: readonly AdamwResult[], { params, moments }: ParameterSet): void {
  for (const [i, { p, m, v }] of results.entries()) {
    const own = moments[i];
    const parameter = params[i];
    own.step++;
    onReplay(() => {
      own.step++;
      parameter.noteChange();
    });
    own.expAvg = replace(own.expAvg, m);
    own.expAvgSq = replace(own.expAvgSq, v);
    parameter.assign(p);
    p.dispose();
  }
}

function replace(old: Tensor, next: Tensor): Tensor {
  if (old !== next) old.dispose();
  return keep(next);
}

function makeGroup({ params, lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 }: ParamGroupInit): ParamGroup {
  const list = [...params].map((parameter) => {
    if (parameter instanceof Parameter) return parameter;
    throw new PolargradError(`AdamW: it updates Parameters only, got ${String(parameter)}; wrap it: new Parameter(tensor)`);
  });
  const settings = { lr, eps, weightDecay, "betas[0]": betas[0], "betas[1]": betas[1] };
  for (const [name, value] of Object.entries(settings)) {
    const legal = value >= 0 && (!name.startsWith("betas") || value < 1);
    if (!legal) throw new PolargradError(`AdamW: ${name} must be ${name.startsWith("betas") ? "in [0, 1)" : "at least 0"}, got ${value}`);
  }
  return { params: list, lr, initialLr: lr, betas, eps, weightDecay };
}
