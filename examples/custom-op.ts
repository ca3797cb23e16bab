// An op of one's own, held to the same laws as the built-in ones. Run: npm run example examples/custom-op.ts
import { defineOp, mul, sigmoid } from "polargrad";
import { opLaws } from "polargrad/testing";

/** `log(1 + eˣ)`, elementwise. */
const softplus = defineOp("softplus", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = Math.max(x[i], 0) + Math.log1p(Math.exp(-Math.abs(x[i])));
  },
  pointwise: "nan_or(x, max(x, V(0.0)) + log(V(1.0) + exp(-abs(x))))",
  vjp: ({ x }, dy) => ({ x: () => mul(dy, sigmoid(x)) }),
});

/** The same op with a mistake in its gradient. */
const wrong = defineOp("wrongSoftplus", "x[*] -> y[*]", {
  reference: softplus.spec.reference,
  vjp: ({ x }, dy) => ({ x: () => mul(dy, x) }),
});

for (const op of [softplus, wrong]) {
  console.log(`\n${op.spec.name}: ${op.spec.signature.text}`);
  for (const law of opLaws(op)) {
    const outcome = await law.run().then(() => "holds", (error: Error) => `BROKEN: ${error.message.split("\n")[0]}`);
    console.log(`  ${law.name.slice(op.spec.name.length + 2).padEnd(74)} ${outcome}`);
  }
}
