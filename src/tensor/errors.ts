import { formatShape, type Shape } from "./shape.ts";

/** What every error of the library is an instance of. */
export class PolargradError extends Error {
  override readonly name: string = "PolargradError";
}

/** A call whose shapes break an op's signature. Carries what a caller needs to react, not only prose. */
export class ShapeError extends PolargradError {
  override readonly name = "ShapeError";
  readonly op: string;
  readonly signature: string;
  readonly shapes: Readonly<Record<string, Shape>>;

  constructor(op: string, signature: string, why: string, shapes: Readonly<Record<string, Shape>> = {}) {
    const got = Object.entries(shapes).map(([name, shape]) => `${name} ${formatShape(shape)}`).join(", ");
    super(`${op}: ${why} (expected ${signature}${got && `; got ${got}`})`);
    this.op = op;
    this.signature = signature;
    this.shapes = shapes;
  }
}

/** A wrong argument of an op: its type, dtype, device, count or an attribute. */
export class ArgumentError extends PolargradError {
  override readonly name = "ArgumentError";
  readonly op: string;
  readonly argument: string;
  readonly expected: string;
  readonly actual: string;

  constructor(op: string, argument: string, expected: string, actual: string, advice = "") {
    super(`${op}: ${argument} must be ${expected}, got ${actual}${advice && `; ${advice}`}`);
    this.op = op;
    this.argument = argument;
    this.expected = expected;
    this.actual = actual;
  }
}

/** A misuse of the autograd graph: no graph, a freed graph, a parameter changed under it, a missing gradient. */
export class GraphError extends PolargradError {
  override readonly name = "GraphError";
}

/** A tensor whose storage was released was used. */
export class DisposedError extends PolargradError {
  override readonly name = "DisposedError";
}

/** A device that is absent, unknown or not initialised. */
export class DeviceError extends PolargradError {
  override readonly name = "DeviceError";
}
