import typedFunction from "typed-function";
import { isGradEnabled, record, reportInputs } from "../autograd/index.ts";
import { type DType, isFloat, isStored } from "../tensor/dtype.ts";
import { ArgumentError, GraphError } from "../tensor/errors.ts";
import { planOp } from "../tensor/op-plan.ts";
import type { OpSpec } from "../tensor/op-spec.ts";
import type { Device, Storage } from "../tensor/storage.ts";
import { type TapeNode, Tensor } from "../tensor/tensor.ts";
import { attrsOf } from "./attrs.ts";
import { backendOf, scalarLike } from "./device.ts";
import { throughDecompose } from "./decompose.ts";
import { describe } from "./describe.ts";

type Attrs = Readonly<Record<string, unknown>>;
type Door = (...args: unknown[]) => Tensor;

const typed = typedFunction.create();
typed.clear();
typed.addTypes([
  { name: "CpuTensor", test: (value: unknown) => value instanceof Tensor && value.device === "cpu" },
  { name: "WebgpuTensor", test: (value: unknown) => value instanceof Tensor && value.device === "webgpu" },
  { name: "Attributes", test: (value: unknown) => typeof value === "object" && value !== null && !(value instanceof Tensor) && !Array.isArray(value) },
]);

/** The one door every call of an op goes through: it picks the device by the arguments' types and explains what does not fit. */
export function frontDoor(spec: OpSpec): Door {
  const count = spec.signature.inputs.length;
  const complete = attrsOf(spec);
  const run = (device: Device) => (...args: unknown[]): Tensor => {
    const attrs = complete(args[count] as Attrs | undefined);
    return apply(spec, (args.length > count ? args.slice(0, count) : args) as Tensor[], attrs, device);
  };
  const signature = (type: string, attrs: boolean): string => [...new Array<string>(count).fill(type), ...(attrs ? ["Attributes"] : [])].join(", ");
  const dispatch = typed(spec.name, {
    [signature("CpuTensor", false)]: run("cpu"),
    [signature("CpuTensor", true)]: run("cpu"),
    [signature("WebgpuTensor", false)]: run("webgpu"),
    [signature("WebgpuTensor", true)]: run("webgpu"),
  });
  const takesNumbers = spec.pointwise !== undefined;
  return (...args) => {
    const ready = takesNumbers && args.some((arg) => typeof arg === "number") ? withScalars(spec, args) : args;
    while (ready.length > count && ready[ready.length - 1] === undefined) ready.pop();
    try {
      return dispatch(...ready);
    } catch (error) {
      throw explain(spec, ready, error);
    }
  };
}

/** Numbers that stand for inputs as 0-d tensors: of the dtype their place asks for, on the device of the tensors. */
function withScalars(spec: OpSpec, args: readonly unknown[]): unknown[] {
  const rules = spec.signature.inputs.map((operand) => operand.dtype);
  const shared = args.find((arg, i): arg is Tensor => arg instanceof Tensor && (rules[i] === "float" || rules[i] === "any"));
  const some = shared ?? args.find((arg) => arg instanceof Tensor);
  if (!some) return [...args];
  return args.map((arg, i) => {
    if (typeof arg !== "number" || i >= rules.length) return arg;
    const rule = rules[i];
    const dtype = rule === "i32" || rule === "bool" ? rule : shared && !isStored(shared.dtype) ? shared.dtype : "f32";
    const { name } = spec.signature.inputs[i];
    if (dtype === "bool" && arg !== 0 && arg !== 1) throw new ArgumentError(spec.name, name, "0 or 1 beside bool tensors", String(arg));
    if (dtype === "i32" && arg !== (arg | 0)) {
      throw new ArgumentError(spec.name, name, "an integer beside i32 tensors", String(arg), "i32 goes from -2147483648 to 2147483647");
    }
    return scalarLike({ dtype, device: some.device }, arg);
  });
}

/** Turn typed-function's complaint about the arguments into ours, which names the argument and says what to do. */
function explain(spec: OpSpec, args: readonly unknown[], error: unknown): unknown {
  const data = (error as { data?: { category?: string; index?: number; fn?: string } }).data;
  if (!(error instanceof TypeError) || !data?.category || data.fn !== spec.name) return error;
  const names = spec.signature.inputs.map((operand) => operand.name);
  const expected = `(${names.join(", ")}${Object.keys(spec.attrs).length > 0 ? ", attributes" : ""})`;
  if (data.category === "tooFewArgs") return new ArgumentError(spec.name, "the call", expected, `${args.length} of ${names.length} tensors`);
  if (data.category === "tooManyArgs") return new ArgumentError(spec.name, "the call", expected, `${args.length} arguments`);
  const devices = new Map(args.flatMap((arg, i) => (arg instanceof Tensor && i < names.length ? [[names[i], arg.device] as const] : [])));
  const bad = args.findIndex((arg, i) => i < names.length && !(arg instanceof Tensor));
  if (bad >= 0) return new ArgumentError(spec.name, names[bad], "a tensor", describe(args[bad]), "make one with tensor(…)");
  if (new Set(devices.values()).size > 1) {
    const got = [...devices].map(([name, device]) => `${name} on ${device}`).join(", ");
    return new ArgumentError(spec.name, "every input", "on one device", got, "move one with await to(x, device)");
  }
  return new ArgumentError(spec.name, "the last argument", "an object of attributes", describe(args[names.length]));
}

function apply(spec: OpSpec, inputs: readonly Tensor[], attrs: Attrs, device: Device): Tensor {
  const dtype = outputDType(spec, inputs, attrs, device);
  const plan = planOp(spec, inputs.map(({ shape }) => shape), attrs);
  if (isStored(dtype) && isGradEnabled() && inputs.some((input) => input.requiresGrad)) {
    throw new GraphError(`${spec.name}: no gradient passes through ${dtype}, but its input requires one; call it in noGrad() or on x.detach()`);
  }
  for (const input of inputs) void input.storage; // throws where it was disposed
  reportInputs(inputs);
  const backend = backendOf(device);
  if (!backend.supports(spec, dtype) && spec.decompose) return spec.decompose(byName(spec, inputs), attrs);
  const storage = spec.view ? retained(inputs[0].storage) : backend.run(spec, inputs, plan, attrs, dtype);
  const output = new Tensor(plan.output, storage);
  const pull: TapeNode["pullback"] = (dy, needed) => pullback(spec, inputs, attrs, output, dy, needed);
  return record(spec.name, inputs, output, pull, () => readsOf(spec, inputs, output));
}

function retained(storage: Storage): Storage {
  storage.retain();
  return storage;
}

const byName = (spec: OpSpec, inputs: readonly Tensor[]): Record<string, Tensor> =>
  Object.fromEntries(spec.signature.inputs.map(({ name }, i) => [name, inputs[i]]));

/** The tensors whose elements the pullback of a call reads. */
function readsOf(spec: OpSpec, inputs: readonly Tensor[], output: Tensor): readonly Tensor[] {
  if (!spec.vjp) return inputs;
  const declared = typeof spec.reads === "function" ? spec.reads(output.device) : spec.reads;
  if (!declared) return [...inputs, output];
  const operands = spec.signature.inputs;
  const names = operands.flatMap(({ name }, i) => (inputs[i].requiresGrad ? (declared[name] ?? []) : []));
  return [...new Set(names)].map((name) => inputs[operands.findIndex((operand) => operand.name === name)] ?? output);
}

function pullback(spec: OpSpec, inputs: readonly Tensor[], attrs: Attrs, y: Tensor, dy: Tensor, needed: readonly boolean[]): (Tensor | null)[] {
  if (!spec.vjp) return throughDecompose(spec, inputs, attrs, dy, needed);
  const cotangents = spec.vjp(byName(spec, inputs), dy, attrs, y);
  return spec.signature.inputs.map(({ name }, i) => {
    if (!needed[i]) return null;
    const cotangent = cotangents[name];
    if (cotangent === undefined) throw new GraphError(`${spec.name}: its declaration gives no gradient for ${name}`);
    return cotangent ? cotangent() : null;
  });
}

/** Check the dtypes of a call and say what the output's is: that of the inputs that share one, where stored formats do not count. */
function outputDType(spec: OpSpec, inputs: readonly Tensor[], attrs: Attrs, device: Device): DType {
  const shared: { float?: DType; any?: DType } = {};
  spec.signature.inputs.forEach(({ name, dtype: rule, stored }, i) => {
    const actual = inputs[i].dtype;
    if (stored && isStored(actual)) return;
    if (rule === "i32" || rule === "bool") {
      if (actual !== rule) throw new ArgumentError(spec.name, name, rule, actual, `use cast(${name}, { dtype: "${rule}" })`);
      return;
    }
    if (rule === "float" ? !isFloat(actual) : isStored(actual)) {
      const expected = rule === "float" ? "f32 or f64" : "f32, f64, i32 or bool";
      throw new ArgumentError(spec.name, name, expected, actual, `use cast(${name}, { dtype: "f32" })`);
    }
    const before = shared[rule];
    if (before !== undefined && before !== actual) {
      throw new ArgumentError(spec.name, name, `${before} like the inputs before it`, actual, "cast one of them");
    }
    shared[rule] = actual;
  });
  const rule = spec.signature.output.dtype;
  const dtype = spec.dtype?.(attrs) ?? (rule === "float" || rule === "any" ? shared[rule] ?? "f32" : rule);
  if (dtype !== "f64" || device === "cpu") return dtype;
  throw new ArgumentError(spec.name, "the result", "f32, i32 or bool on webgpu", dtype, "f64 exists on the CPU only");
}
