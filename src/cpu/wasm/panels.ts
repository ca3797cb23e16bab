import { type Code, countUp, type FunctionSource, get, increase, type Local, set } from "./assembler.ts";
import { i32, shuffleWords, v128 } from "./instructions.ts";
import { tileRows, tileWidth } from "./product.ts";

/** Panels as wide as the wide tile, as the narrow tile, and as the wide tile has rows. */
export type PanelWidth = "Wide" | "Narrow" | "A";

const widthOf = (name: PanelWidth, tileColumns: number): number =>
  name === "A" ? tileRows(false) : tileWidth(tileColumns, name === "Narrow");

/** The functions that pack one panel of an operand of a product. */
export const panelFunctions = (): FunctionSource[] => [
  rowPanel("Wide"), rowPanel("Narrow"), columnPanel("Wide"), columnPanel("A"),
];

/**
 * Panel number `panel` of the rows of a matrix [count, depth]: they end up side by side, `width` floats for
 * each step of the depth. Rows beyond the last one repeat it. Writes the depth rounded up to 4 steps.
 *
 *     for each four of the panel's rows, for each four steps: store the transposed 4×4 block
 */
function rowPanel(name: PanelWidth): FunctionSource {
  return {
    name: `rowPanel${name}`,
    exported: false,
    params: ["i32", "i32", "i32", "i32", "i32", "i32"],
    body(frame, [source, target, panel, count, depth, stride]) {
      const width = widthOf(name, frame.shape.tileColumns);
      const [out, step] = frame.locals("i32", 2);
      const rows = frame.locals("i32", 4);
      const scratch = frame.locals("v128", 8);
      const rowAt = (r: number): Code => {
        const row = i32.add(i32.multiply(get(panel), i32.constant(width)), i32.constant(r));
        const existing = i32.min(row, i32.subtract(get(count), i32.constant(1)));
        return i32.add(get(source), i32.multiply(existing, get(stride)));
      };
      return Array.from({ length: width / 4 }, (_, group) => group * 4).flatMap((first) => [
        ...rows.map((pointer, r) => set(pointer, rowAt(first + r))),
        set(out, i32.add(get(target), i32.constant(first * 4))),
        set(step, i32.constant(0)),
        countUp(step, 4, get(depth), [
          ...transposed(rows, scratch, (i, column) => v128.store(get(out), i * width * 4, column)),
          ...rows.map((pointer) => increase(pointer, i32.constant(16))),
          increase(out, i32.constant(width * 16)),
        ]),
      ]);
    },
  };
}

/**
 * Panel number `panel` of the columns of a matrix [depth, …]: plain copies. What lies beyond the last column
 * is whatever follows in memory.
 *
 *     for each step: copy the panel's columns
 */
function columnPanel(name: PanelWidth): FunctionSource {
  return {
    name: `columnPanel${name}`,
    exported: false,
    params: ["i32", "i32", "i32", "i32", "i32"],
    body(frame, [source, target, panel, depth, stride]) {
      const width = widthOf(name, frame.shape.tileColumns);
      const step = frame.local("i32");
      const offsets = Array.from({ length: width / 4 }, (_, i) => i * 16);
      return [
        increase(source, i32.multiply(get(panel), i32.constant(width * 4))),
        countUp(step, 1, get(depth), [
          ...offsets.map((offset) => v128.store(get(target), offset, v128.load(get(source), offset))),
          increase(source, get(stride)),
          increase(target, i32.constant(width * 4)),
        ]),
      ];
    },
  };
}

/** Load four vectors from the four addresses and store the columns of the 4×4 block that they are. */
function transposed(
  addresses: readonly Local[],
  scratch: readonly Local[],
  store: (column: number, value: Code) => Code,
): Code[] {
  const [r0, r1, r2, r3, low01, high01, low23, high23] = scratch;
  const shuffled = (x: Local, y: Local, words: number[]): Code => shuffleWords(get(x), get(y), words);
  return [
    ...[r0, r1, r2, r3].map((row, i) => set(row, v128.load(get(addresses[i]), 0))),
    set(low01, shuffled(r0, r1, [0, 4, 1, 5])),
    set(high01, shuffled(r0, r1, [2, 6, 3, 7])),
    set(low23, shuffled(r2, r3, [0, 4, 1, 5])),
    set(high23, shuffled(r2, r3, [2, 6, 3, 7])),
    store(0, shuffled(low01, low23, [0, 1, 4, 5])),
    store(1, shuffled(low01, low23, [2, 3, 6, 7])),
    store(2, shuffled(high01, high23, [0, 1, 4, 5])),
    store(3, shuffled(high01, high23, [2, 3, 6, 7])),
  ];
}
