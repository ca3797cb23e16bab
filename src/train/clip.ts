import { clippedMany, noGrad, tidy } from "../ops/index.ts";
import { PolargradError } from "../tensor/errors.ts";
import { keep } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * Scale the gradients so that their joint L2 norm is at most `maxNorm`, as `torch.nn.utils.clip_grad_norm_`: every gradient is
 * multiplied by min(1, maxNorm / (norm + 1e-6)).
 *
 * @returns the norm before clipping; 0 where there are no gradients
 */
export async function clipGradNorm(params: Iterable<Tensor>, maxNorm: number): Promise<number> {
  const norm = clipGradients(params, maxNorm);
  if (!norm) return 0;
  const value = await norm.item();
  norm.dispose();
  return value;
}

/** `clipGradNorm` without waiting for the device: the norm before clipping as a scalar tensor; null without gradients. */
export function clipGradients(params: Iterable<Tensor>, maxNorm: number): Tensor | null {
  if (!(maxNorm >= 0)) throw new PolargradError(`clipGradNorm: maxNorm must be at least 0, got ${maxNorm}`);
  const owners = [...new Set(params)].filter((parameter) => parameter.grad);
  if (owners.length === 0) return null;
  return noGrad(() =>
    tidy(() => {
      const { clipped, norm } = clippedMany(owners.map(({ grad }) => grad as Tensor), maxNorm);
      owners.forEach((owner, i) => {
        owner.grad?.dispose();
        owner.grad = keep(clipped[i]);
      });
      return norm;
    }),
  );
}
