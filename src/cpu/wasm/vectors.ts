import { type Code, countUp, countWhile, type Frame, get, ifElse, type Local, set } from "./assembler.ts";
import { f32, f32x4, i32, i32x4, v128 } from "./instructions.ts";

/** Bytes of the two vectors that a turn of the main loop takes. */
const PAIR = 32;
const VECTOR = 16;
const FLOAT = 4;

/** One vector of a turn. */
export interface Turn {
  /** 0 or 1: which of a pair, so that sums can have a part for each. */
  readonly v: number;
  /** The lanes that count, and zeros: single floats come alone. */
  kept(value: Code): Code;
  /** In the lanes that count the first value, else the second. */
  choose(value: Code, other: Code): Code;
}

/** A loop over the floats of some arrays. */
export interface FloatLoop<R extends string> {
  /** Addresses of what is read, by name. */
  readonly reads: Readonly<Record<R, Code>>;
  /** Addresses of what is written. */
  readonly writes?: readonly Code[];
  /** Code for a vector, then the value for each of `writes`. */
  readonly body: (x: Readonly<Record<R, Code>>, turn: Turn) => { readonly run?: readonly Code[]; readonly values?: readonly Code[] };
}

/**
 * Run a loop over the floats from byte `at` up to byte `end` of its arrays: two vectors a turn, then one, then
 * single floats. In a turn all loads come first and stores of one array side by side: engines fold such pairs
 * into vectors of twice the size.
 */
export function eachFloats<const R extends string>(frame: Frame, at: Local, end: Local, loop: FloatLoop<R>): Code[] {
  const names = Object.keys(loop.reads) as R[];
  const writes = loop.writes ?? [];
  const pointers = frame.locals("i32", names.length + writes.length);
  const inputs = [0, 1].map(() => frame.locals("v128", names.length));
  const outputs = [0, 1].map(() => frame.locals("v128", writes.length));
  const addresses = [...names.map((name) => loop.reads[name]), ...writes];
  const turn = (bytes: number): Code[] => {
    const vectors = bytes === PAIR ? [0, 1] : [0];
    const isSingle = bytes === FLOAT;
    const [load, store] = isSingle ? [v128.loadZero, v128.storeFirst] : [v128.load, v128.store];
    const bodies = vectors.map((v) => loop.body(
      Object.fromEntries(names.map((name, i) => [name, get(inputs[v][i])])) as Record<R, Code>,
      turnOf(v, isSingle),
    ));
    return [
      ...pointers.map((pointer, i) => set(pointer, i32.add(addresses[i], get(at)))),
      ...names.flatMap((_, i) => vectors.map((v) => set(inputs[v][i], load(get(pointers[i]), v * VECTOR)))),
      ...vectors.flatMap((v) => [
        ...(bodies[v].run ?? []),
        ...(bodies[v].values ?? []).map((value, i) => set(outputs[v][i], value)),
      ]),
      ...writes.flatMap((_, i) =>
        vectors.map((v) => store(get(pointers[names.length + i]), v * VECTOR, get(outputs[v][i]))),
      ),
    ];
  };
  const hasRoom = (bytes: number): Code => i32.lessThan(i32.add(get(at), i32.constant(bytes - 1)), get(end));
  const part = (bytes: number): Code =>
    ifElse(hasRoom(bytes), [countUp(at, bytes, i32.subtract(get(end), i32.constant(bytes - 1)), turn(bytes))]);
  return [part(PAIR), part(VECTOR), countWhile(at, FLOAT, get(end), turn(FLOAT))];
}

function turnOf(v: number, isSingle: boolean): Turn {
  return {
    v,
    kept: (value) => (isSingle ? v128.and(value, firstLane()) : value),
    choose: (value, other) => (isSingle ? v128.bitselect(value, other, firstLane()) : value),
  };
}

/** All bits of the first lane. */
const firstLane = (): Code => i32x4.lanes([-1, 0, 0, 0]);

/** Which of a pair a vector is. */
export type Part = Pick<Turn, "v">;

/** A sum over floats, in a part for each vector of a pair. */
export class LaneSum {
  readonly #frame: Frame;
  readonly #parts: readonly Local[];
  readonly #total: Local;

  constructor(frame: Frame) {
    this.#frame = frame;
    this.#parts = frame.locals("v128", 2);
    this.#total = frame.local("v128");
  }

  /** Start at 0. */
  clear(): Code[] {
    return this.#parts.map((part) => set(part, v128.zero()));
  }

  /** Add a vector. */
  add({ v }: Part, value: Code): Code {
    return set(this.#parts[v], f32x4.add(get(this.#parts[v]), value));
  }

  /** Add `x · y`. */
  addProduct({ v }: Part, x: Code, y: Code): Code {
    return set(this.#parts[v], this.#frame.multiplyAdd(x, y, get(this.#parts[v])));
  }

  /** The sum of all lanes into an f32 local. */
  into(target: Local): Code[] {
    const lane = (i: number): Code => f32x4.lane(get(this.#total), i);
    return [
      set(this.#total, f32x4.add(get(this.#parts[0]), get(this.#parts[1]))),
      set(target, f32.add(f32.add(lane(0), lane(1)), f32.add(lane(2), lane(3)))),
    ];
  }
}

/** The largest of some floats; NaN is passed over. */
export class LaneMax {
  readonly #parts: readonly Local[];
  readonly #top: Local;

  constructor(frame: Frame) {
    this.#parts = frame.locals("v128", 2);
    this.#top = frame.local("v128");
  }

  /** Start at -∞. */
  clear(): Code[] {
    return this.#parts.map((part) => set(part, f32x4.constant(Number.NEGATIVE_INFINITY)));
  }

  /** Take in a vector. */
  add(turn: Turn, value: Code): Code {
    const part = this.#parts[turn.v];
    return set(part, turn.choose(f32x4.pseudoMax(get(part), value), get(part)));
  }

  /** The largest lane into an f32 local. */
  into(target: Local): Code[] {
    const lane = (i: number): Code => f32x4.lane(get(this.#top), i);
    const larger = (value: Code): Code => ifElse(f32.greaterThan(value, get(target)), [set(target, value)]);
    return [
      set(this.#top, f32x4.pseudoMax(get(this.#parts[0]), get(this.#parts[1]))),
      set(target, lane(0)),
      larger(lane(1)), larger(lane(2)), larger(lane(3)),
    ];
  }
}
