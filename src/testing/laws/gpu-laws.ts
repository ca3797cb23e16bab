import { currentGpu } from "../../ops/init.ts";
import { EDGE_SIZES } from "../arbitraries.ts";
import { LawError } from "../errors.ts";
import { announceSkip, forCalls, forKind, type Law, type LawContext } from "./law.ts";
import { mustAgreeWithReference, specialLaws } from "./precision-laws.ts";

// With the edges, 50 calls of each kernel.
const COUNTS = { plain: 6, ones: 2, broadcast: 8, empty: 3, repeated: 3 } as const;
const EDGE_COUNT = 4;

/** The open GPU against the f64 reference: the readable and the tuned kernel each, forward and backward. */
export function gpuLaws(context: LawContext): Law[] {
  const { spec } = context;
  const readable = spec.wgsl !== undefined || spec.pointwise !== undefined;
  const laws: Law[] = [];
  if (readable || !spec.fast?.wgsl) laws.push(gpuLaw(context, "reference"));
  if (spec.fast?.wgsl) laws.push(gpuLaw(context, "fast"));
  return [...laws, ...specialLaws(context, { device: "webgpu", dtype: "f32" })];
}

function gpuLaw(context: LawContext, path: "fast" | "reference"): Law {
  const { op, spec } = context;
  const kernel = spec.view
    ? "view"
    : path === "fast"
      ? "tuned kernel"
      : spec.wgsl || spec.pointwise
        ? "kernel"
        : "decompose";
  const way = { device: "webgpu", dtype: "f32", path } as const;
  return {
    name: `${spec.name}: its ${kernel} on the GPU agrees with the f64 reference, forward and backward`,
    run: async () => {
      await forCalls(context, COUNTS, (call) => mustAgreeWithReference(op, call, way));
      let atEdges = 0;
      for (const edge of EDGE_SIZES) {
        await forKind(context, { kind: "edge", edge }, EDGE_COUNT, (call) => {
          if (call.inputs.some(({ shape }) => shape.some((size) => size >= edge))) atEdges++;
          return mustAgreeWithReference(op, call, way);
        });
      }
      if (atEdges === 0)
        announceSkip(
          spec.name,
          `its draw makes no axis of ${EDGE_SIZES.join(", ")} elements, so edges were not tried; use draw.shape`,
        );
      await mustBeIntact(spec.name);
    },
  };
}

/** No kernel wrote behind the end of a buffer. @throws LawError naming the buffers */
async function mustBeIntact(op: string): Promise<void> {
  const gpu = currentGpu();
  if (!gpu) return;
  if (typeof process === "undefined" || process.env.POLARGRAD_GUARD !== "1") {
    announceSkip(
      "GPU laws",
      "writes behind a buffer's end are not looked for; set POLARGRAD_GUARD=1 before the device is opened",
    );
    return;
  }
  const hurt = await gpu.pool.checkGuards();
  if (hurt.length > 0) throw new LawError(op, `a kernel wrote behind the end of ${hurt.join(", ")}`);
}
