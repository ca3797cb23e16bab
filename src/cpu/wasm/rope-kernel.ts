import { countWhile, get, increase, set } from "./assembler.ts";
import { f32x4, i32 } from "./instructions.ts";
import { kernel } from "./kernel.ts";
import { eachFloats } from "./vectors.ts";

/**
 * Turns the two halves of each head of a position by `turn` (1 or -1) times its angles; a row is a position of a sequence.
 *
 *     for each row of the unit, for each head, for each pair of vectors of a half: both halves
 */
export const ropeRows = kernel(
  "ropeRows",
  { x: "in", cos: "in", sin: "in", y: "out", rows: "i32", t: "i32", h: "i32", p: "i32", rowsAUnit: "i32", turn: "f32" },
  (frame, at) => {
    const [row, last, head, position, end, half, x, y, cos, sin] = frame.locals("i32", 10);
    const turn = frame.local("v128");
    const offset = i32.multiply(i32.multiply(get(row), get(at.h)), i32.shiftLeft(get(half), i32.constant(1)));
    const angle = i32.multiply(i32.remainder(get(row), get(at.t)), get(half));
    return [
      set(turn, f32x4.splat(get(at.turn))),
      set(half, i32.shiftLeft(get(at.p), i32.constant(2))),
      set(end, get(half)),
      set(row, i32.multiply(get(at.unit), get(at.rowsAUnit))),
      set(last, i32.min(i32.add(get(row), get(at.rowsAUnit)), get(at.rows))),
      countWhile(row, 1, get(last), [
        set(x, i32.add(get(at.x), offset)),
        set(y, i32.add(get(at.y), offset)),
        set(cos, i32.add(get(at.cos), angle)),
        set(sin, i32.add(get(at.sin), angle)),
        set(head, i32.constant(0)),
        countWhile(head, 1, get(at.h), [
          set(position, i32.constant(0)),
          ...eachFloats(frame, position, end, {
            reads: { low: get(x), high: i32.add(get(x), get(half)), c: get(cos), s: get(sin) },
            writes: [get(y), i32.add(get(y), get(half))],
            body: ({ low, high, c, s }) => ({
              values: [
                f32x4.subtract(f32x4.multiply(low, c), f32x4.multiply(high, f32x4.multiply(s, get(turn)))),
                f32x4.add(f32x4.multiply(high, c), f32x4.multiply(low, f32x4.multiply(s, get(turn)))),
              ],
            }),
          }),
          increase(x, i32.shiftLeft(get(half), i32.constant(1))),
          increase(y, i32.shiftLeft(get(half), i32.constant(1))),
        ]),
      ]),
    ];
  },
);
