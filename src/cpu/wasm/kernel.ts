import { type Code, type Frame, type FunctionSource, get, type Local, set } from "./assembler.ts";
import { f32, i32 } from "./instructions.ts";

/** What an argument is: elements that the kernel reads (`in`), writes all of (`out`), or both, or a number. */
export type ArgumentKind = "in" | "out" | "inout" | "i32" | "f32";

/**
 * A function that computes one unit of work, a part of the output that depends on no other unit: so the
 * result is the same whichever thread runs which unit.
 */
export interface Kernel<A extends Readonly<Record<string, ArgumentKind>> = Readonly<Record<string, ArgumentKind>>> {
  readonly name: string;
  readonly args: A;
  readonly source: FunctionSource;
}

/** The locals of a kernel: its arguments (arrays as addresses), the unit, and memory of its own. */
export type KernelLocals<A> = { readonly [K in keyof A]: Local } & {
  readonly unit: Local;
  readonly scratch: Local;
};

/** Declare a kernel. Its arguments lie in memory as 32-bit words, in the order of `args`. */
export function kernel<const A extends Readonly<Record<string, ArgumentKind>>>(
  name: string,
  args: A,
  body: (frame: Frame, locals: KernelLocals<A>) => readonly Code[],
): Kernel<A> {
  const source: FunctionSource = {
    name,
    params: ["i32", "i32", "i32"],
    body(frame, [words, unit, scratch]) {
      const own: Record<string, Local> = { unit, scratch };
      const loads = Object.entries(args).map(([argument, kind], i) => {
        own[argument] = frame.local(kind === "f32" ? "f32" : "i32");
        const load = kind === "f32" ? f32.load : i32.load;
        return set(own[argument], load(get(words), i * 4));
      });
      return [...loads, ...body(frame, own as KernelLocals<A>)];
    },
  };
  return { name, args, source };
}
