import { describe, expect, it } from "vitest";
import { bindShapes, shapeOf } from "../../src/tensor/bind-shapes.ts";
import { ShapeError } from "../../src/tensor/errors.ts";
import type { Shape } from "../../src/tensor/shape.ts";
import { parseSignature } from "../../src/tensor/signature.ts";

const bind = (
  text: string,
  shapes: Record<string, Shape>,
): { dims: Readonly<Record<string, number>>; out: Shape } => {
  const signature = parseSignature(text);
  const binding = bindShapes("op", signature, shapes);
  return { dims: binding.dims, out: shapeOf(signature.output, binding) };
};

const ATTENTION = "q[b, t, g*m, d], k[b, c+t, g, d] -> y[b, t, g*m, d]";

describe("parseSignature", () => {
  it("reads names, axes and dtype marks", () => {
    const { inputs, output, dimNames } = parseSignature(
      "x[*, d], ids[b, 4]:i32, mask[...]:bool -> y[*, d]:any",
    );
    expect(inputs.map(({ name, dtype, dims }) => [name, dtype, dims?.length])).toEqual([
      ["x", "float", 2],
      ["ids", "i32", 2],
      ["mask", "bool", undefined],
    ]);
    expect(output.dtype).toBe("any");
    expect(dimNames).toEqual(["d", "b"]);
  });

  it.each([
    ["x[d]", "->"],
    ["x[d] -> y[d] -> z[d]", "->"],
    ["x(d) -> y[d]", "x(d)"],
    ["x[d] -> y[e]", "e is in no input"],
    ["x[d]:f16 -> y[d]", "f16"],
  ])("refuses %s", (text, why) => {
    expect(() => parseSignature(text)).toThrow(SyntaxError);
    expect(() => parseSignature(text)).toThrow(why);
  });
});

describe("bindShapes", () => {
  it("solves products and sums, in any order", () => {
    expect(bind(ATTENTION, { q: [2, 3, 8, 4], k: [2, 5, 2, 4] })).toEqual({
      dims: { b: 2, t: 3, g: 2, m: 4, c: 2, d: 4 },
      out: [2, 3, 8, 4],
    });
    expect(bind(ATTENTION, { q: [2, 3, 8, 4], k: [2, 3, 8, 4] }).dims).toMatchObject({ c: 0, m: 1 });
  });

  it("broadcasts the batch axes and only them", () => {
    const matmul = "a[*, m, k], b[*, k, p] -> y[*, m, p]";
    expect(bind(matmul, { a: [5, 1, 2, 3], b: [4, 3, 6] }).out).toEqual([5, 4, 2, 6]);
    expect(bind(matmul, { a: [2, 3], b: [0, 3, 6] }).out).toEqual([0, 2, 6]);
    expect(() => bind(matmul, { a: [2, 1], b: [3, 6] })).toThrow("k is 1 in a but 3 in b");
    expect(() => bind(matmul, { a: [2, 2, 3], b: [4, 3, 6] })).toThrow("batch axes 2 and 4 do not broadcast");
  });

  it.each<[string, Record<string, Shape>, string]>([
    [
      "x[*, d], weight[d] -> y[*, d]",
      { x: [1, 8], weight: [6] },
      "op: d is 8 in x but 6 in weight (expected x[*, d], weight[d] -> y[*, d]; got x 1×8, weight 6)",
    ],
    ["x[*, d] -> y[*]", { x: [] }, "op: x has 0 axes (expected x[*, d] -> y[*]; got x scalar)"],
    ["x[d] -> y[d]", { x: [2, 3] }, "x has 2 axes"],
    ["x[*, 4] -> y[*]", { x: [2, 3] }, "an axis of x is 3, not 4"],
    ["x[*, 2*p] -> y[*]", { x: [7] }, "2*p is 7 in x, which is not a multiple of 2"],
    [ATTENTION, { q: [2, 3, 7, 4], k: [2, 5, 2, 4] }, "g*m is 7 in q, which is not a multiple of 2"],
    [ATTENTION, { q: [2, 3, 8, 4], k: [2, 2, 2, 4] }, "c+t is 2 in k, which is less than 3"],
    ["x[a*b] -> y[a]", { x: [6] }, "do not determine every dimension"],
  ])("%s refuses what breaks it", (text, shapes, message) => {
    expect(() => bind(text, shapes)).toThrow(ShapeError);
    expect(() => bind(text, shapes)).toThrow(message);
  });

  it("puts op, law and shapes into the error", () => {
    const error = (() => {
      try {
        return bind("x[d], w[d] -> y[d]", { x: [2], w: [3] });
      } catch (caught) {
        return caught;
      }
    })();
    expect(error).toMatchObject({ op: "op", signature: "x[d], w[d] -> y[d]", shapes: { x: [2], w: [3] } });
  });
});
