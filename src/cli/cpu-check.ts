import { cpuKernels } from "../cpu/launch.ts";
import { kernelFault } from "../cpu/self-check.ts";
import { weightFault } from "../cpu/stored.ts";
import { WEIGHT_FORMATS } from "../cpu/wasm/stored-decoder.ts";
import { allOps } from "../ops/index.ts";
import type { DeclaredOp } from "../testing/index.ts";
import { counted } from "./format.ts";
import { oneLine } from "./terminal.ts";

const VARIANTS = {
  off: "plain JavaScript, as this engine has no WebAssembly SIMD or POLARGRAD_SIMD asks for it",
  "128": "WebAssembly SIMD, 128 bits",
  relaxed: "WebAssembly relaxed SIMD, with fused multiply-add",
  "256": "WebAssembly SIMD that the engine folds into 256 bits",
};

/** What computes on the CPU, as facts and as one line for each kernel that is wrong here. */
export interface CpuVerdict {
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly wrong: readonly string[];
}

/** Hold the kernels of the variant in use against plain loops: those of ops and those that read weights. */
export function checkCpuKernels(ops: readonly DeclaredOp[] = allOps): CpuVerdict {
  const { variant, threads } = cpuKernels();
  const what: [string, string] = ["CPU", `variant ${variant}: ${VARIANTS[variant]}; ${counted(threads, "thread")}`];
  if (variant === "off") return { facts: [what], wrong: [] };
  const right: string[] = [];
  const wrong: string[] = [];
  const judge = (name: string, fault: string | null): void => {
    if (fault) wrong.push(`WRONG on the CPU, not used: ${name}: ${oneLine(fault, 600)}`);
    else right.push(name);
  };
  for (const { spec } of ops) if (spec.fast?.simd) judge(spec.name, kernelFault(spec, () => {}));
  for (const format of WEIGHT_FORMATS) judge(`weights in ${format}`, weightFault(format));
  return { facts: [what, ["CPU kernels", `right here: ${right.join(", ")}`]], wrong };
}
