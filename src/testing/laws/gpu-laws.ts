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
  const way = { device: "webgpu", dtype: "f32", path } as const;
  return {
    name: `${spec.name}: its ${kernelName(context, path)} on the GPU agrees with the f64 reference, forward and backward`,
    run: async () => {
      await forCalls(context, COUNTS, (call) => mustAgreeWithReference(op, call, way));
      let atEdges = 0;
      for (const edge of EDGE_SIZES) {
        await forKind(context, { kind: "edge", edge }, EDGE_COUNT, (call) => {
          if (edge > 1 && call.inputs.some(({ shape }) => shape.some((size) => size >= edge))) atEdges++;
          return mustAgreeWithReference(op, call, way);
        });
      }
      if (atEdges === 0) {
        const sizes = EDGE_SIZES.join(", ");
        announceSkip(
          spec.name,
          `its draw makes no axis of ${sizes}, so edges were not tried; use draw.shape`,
        );
      }
    },
  };
}

function kernelName({ spec }: LawContext, path: "fast" | "reference"): string {
  if (spec.view) return "view";
  if (path === "fast") return "tuned kernel";
  return spec.wgsl || spec.pointwise ? "kernel" : "decompose";
}

/** The law, and that no kernel wrote behind the end of a buffer while it ran. */
export function withGuards(op: string, law: Law): Law {
  return {
    name: law.name,
    run: async () => {
      const gpu = currentGpu();
      if (!gpu || typeof process === "undefined" || process.env.POLARGRAD_GUARD !== "1") {
        const advice = "set POLARGRAD_GUARD=1 before the device is opened";
        announceSkip("GPU laws", `writes behind a buffer's end are not looked for; ${advice}`);
        await law.run();
        return;
      }
      // What an earlier law left is not this op's.
      await gpu.pool.checkGuards();
      await law.run();
      const hurt = await gpu.pool.checkGuards();
      if (hurt.length > 0) throw new LawError(op, `a kernel wrote behind the end of ${hurt.join(", ")}`);
    },
  };
}
