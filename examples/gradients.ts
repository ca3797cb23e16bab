// Derivatives of all orders. Run: npm run example examples/gradients.ts
import { add, grad, init, mul, sin, sum, tensor } from "polargrad";
import { gradcheck } from "polargrad/testing";

await init({ device: "cpu" });

const f = (x: ReturnType<typeof tensor>) => mul(x, sin(x));
const at = tensor(2, { dtype: "f64" });
console.log("f(x) = x·sin(x) at x = 2");
console.log("  f   ", await f(at).item());
console.log("  f'  ", await grad(f)(at).item(), " expected", Math.sin(2) + 2 * Math.cos(2));
console.log("  f'' ", await grad(grad(f))(at).item(), " expected", 2 * Math.cos(2) - 2 * Math.sin(2));

const w = tensor([[1, 2], [3, 4]], { requiresGrad: true });
const b = tensor([10, 20], { requiresGrad: true });
sum(mul(add(w, b), w)).backward();
console.log("d sum((w + b)·w) / dw =", [...(await w.grad!.data())], " / db =", [...(await b.grad!.data())]);

const x = tensor([0.5, -1.5, 2], { dtype: "f64", requiresGrad: true });
console.log("gradcheck of x·sin(x):", await gradcheck(f, [x]));
