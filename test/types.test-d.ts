// Compiled, never run (types.test.ts): the types of declarations and calls, and errors that must appear.
import { expectTypeOf } from "vitest";
import { add, defineOp, grad, mul, sum, tensor } from "../src/ops/index.ts";
import type { DimNames, InputList, InputNames } from "../src/tensor/signature.ts";
import type { Tensor } from "../src/tensor/tensor.ts";

expectTypeOf<InputNames<"x[*, d], weight[d] -> y[*, d]">>().toEqualTypeOf<"x" | "weight">();
expectTypeOf<InputList<"x[*, d], ids[b, t]:i32 -> y[*, d]">>().toEqualTypeOf<["x", "ids"]>();
expectTypeOf<InputList<"x[...]:any -> y[...]:any">>().toEqualTypeOf<["x"]>();
expectTypeOf<DimNames<"a[*, m, k], b[*, k, p] -> y[*, m, p]">>().toEqualTypeOf<"m" | "k" | "p">();
expectTypeOf<DimNames<"q[b, t, g*m, 4], k[b, c+t, g, 4] -> y[b]">>().toEqualTypeOf<
  "b" | "t" | "g" | "m" | "c"
>();

const x = tensor([1, 2]);
const scale = defineOp("scaleRows", "x[*, d], weight[d] -> y[*, d]", {
  attrs: { eps: [1e-5, [1e-3, 1]], mode: { default: "mean" as "mean" | "sum" } },
  reference({ x, weight }, y, { n, d }, { eps, mode }) {
    expectTypeOf(n).toBeNumber();
    expectTypeOf(eps).toBeNumber();
    expectTypeOf(mode).toEqualTypeOf<"mean" | "sum">();
    for (let i = 0; i < y.length; i++) y[i] = x[i] * weight[i % d];
  },
  vjp: ({ x, weight }, dy) => ({ x: (): Tensor => mul(dy, weight), weight: () => sum(mul(dy, x)) }),
});

expectTypeOf(scale(x, x)).toEqualTypeOf<Tensor>();
expectTypeOf(scale(x, x, { eps: 1, mode: "sum" })).toEqualTypeOf<Tensor>();
expectTypeOf(add(x, 2)).toEqualTypeOf<Tensor>();
expectTypeOf(grad((a: Tensor, b: number) => mul(a, b))).toEqualTypeOf<(a: Tensor, b: number) => Tensor>();
expectTypeOf(grad((a: Tensor) => sum(a), { argnums: [0] })).toEqualTypeOf<(a: Tensor) => Tensor[]>();

// @ts-expect-error weight is missing
scale(x);
// @ts-expect-error there are two inputs
scale(x, x, x);
// @ts-expect-error no attribute is called epsilon
scale(x, x, { epsilon: 1 });
// @ts-expect-error eps is a number
scale(x, x, { eps: "1" });
// @ts-expect-error mode is "mean" or "sum"
scale(x, x, { mode: "max" });
// @ts-expect-error a string is no tensor
add(x, "2");

defineOp("badDimension", "x[*, d] -> y[*, d]", {
  // @ts-expect-error the signature has no dimension called q
  reference({ x }, y, { q }) {
    y[0] = x[q];
  },
});
defineOp("badInput", "x[*, d] -> y[*, d]", {
  // @ts-expect-error the signature has no input called z
  reference({ z }, y) {
    y.set(z);
  },
});
defineOp("badGradient", "x[*, d] -> y[*, d]", {
  reference: ({ x }, y) => y.set(x),
  // @ts-expect-error the gradient names an input that does not exist
  vjp: (_inputs, dy) => ({ z: () => dy }),
});
defineOp("badDefault", "x[*] -> y[*]", {
  // @ts-expect-error a number needs the range that the laws draw it from
  attrs: { eps: 1e-5 },
  reference: ({ x }, y) => y.set(x),
});
// @ts-expect-error a declaration needs a reference
defineOp("noReference", "x[*] -> y[*]", {});
