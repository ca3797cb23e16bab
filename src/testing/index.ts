export { type ShapeLimits, shapes, type TensorLimits, tensors } from "./arbitraries.ts";
export type { CallKind } from "./arbitraries.ts";
export { type CallInput, type CallOptions, callsOf, type DeclaredOp, type OpCall } from "./calls.ts";
export { GradcheckError, LawError } from "./errors.ts";
export { type Differentiable, gradcheck, type GradcheckOptions, gradgradcheck } from "./gradcheck.ts";
export type { Law } from "./laws/law.ts";
export { type LawOptions, opLaws } from "./op-laws.ts";
