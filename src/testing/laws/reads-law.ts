import { tidy } from "../../autograd/index.ts";
import { gradients } from "../../ops/gradient.ts";
import { DisposedError } from "../../tensor/errors.ts";
import type { OpCall } from "../calls.ts";
import { LawError } from "../errors.ts";
import { callable, cotangentOf, inWay, tensorsOf, variablesOf, type Way } from "../evaluate.ts";
import { forCalls, type Law, type LawContext } from "./law.ts";

/** Each cotangent reads the elements of all that a declaration says in `reads`, and of nothing else. */
export function readsLaw(context: LawContext, way: Way, place: string): Law {
  const { spec } = context;
  return {
    name: `${spec.name}: its gradient reads on ${place} what its declaration says, and nothing else`,
    run: async () => {
      const readings = new Map<string, Reading>();
      await forCalls(context, { plain: 4, broadcast: 4 }, (call) => {
        for (const variable of variablesOf(call)) {
          for (let source = 0; source <= call.inputs.length; source++) observe(context, call, way, { variable, source, readings });
        }
      });
      for (const [reading, { declared, happened }] of readings) {
        if (declared && !happened && spec.reads) throw new LawError(spec.name, `${reading} in no call, yet the tape keeps it; say in \`reads\` what is read`);
      }
    },
  };
}

/** What is known of one cotangent and one tensor that it may read. */
interface Reading {
  readonly declared: boolean;
  readonly happened: boolean;
}

/** Take the gradient by one input while the elements of one input, or of the output (the last source), are gone. */
function observe(
  { op, spec }: LawContext,
  call: OpCall,
  way: Way,
  at: { readonly variable: number; readonly source: number; readonly readings: Map<string, Reading> },
): void {
  const { variable, source, readings } = at;
  const reading = `its gradient by ${call.inputs[variable].name} reads ${call.inputs.at(source)?.name ?? "the output"}`;
  inWay(way, call.seed, () =>
    tidy(() => {
      const inputs = tensorsOf(call, way);
      inputs.forEach((input, i) => {
        if (i !== variable) input.requiresGrad = false;
      });
      const y = callable(op)(...inputs, call.attrs);
      // Nothing is recorded of an integer result, and smaller ops where the op is made of them.
      if (y.node?.op !== spec.name) return;
      const gone = inputs.at(source) ?? y;
      const declared = y.node.reads.includes(gone);
      const dy = cotangentOf(call, y.shape, way);
      gone.dispose();
      const happened = isRefused(() => gradients(y, [inputs[variable]], { gradient: dy }));
      if (happened && !declared) throw new LawError(spec.name, `${reading}, which its declaration does not say in \`reads\``);
      readings.set(reading, { declared, happened: happened || readings.get(reading)?.happened === true });
    }),
  );
}

function isRefused(run: () => unknown): boolean {
  try {
    run();
  } catch (error) {
    if (error instanceof DisposedError) return true;
    throw error;
  }
  return false;
}
