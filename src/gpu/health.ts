import type { PolargradError } from "../tensor/errors.ts";
import { isOn } from "./env.ts";
import { GpuDeviceLostError, GpuValidationError } from "./errors.ts";

type Reported = "memory" | "validation";

/** What went wrong inside `DeviceHealth.attempt`. */
export interface Incident {
  readonly kind: Reported;
  readonly detail: string;
}

const SHOWN = 8;

const kindOf = (error: GPUError): Reported =>
  error.constructor.name === "GPUOutOfMemoryError" ? "memory" : "validation";

function refusal(kernels: readonly string[], detail: string): GpuValidationError {
  const more = kernels.length > SHOWN ? ` and ${kernels.length - SHOWN} more` : "";
  return new GpuValidationError(
    `WebGPU refused to run ${kernels.slice(0, SHOWN).join(", ")}${more}`,
    kernels,
    detail,
  );
}

/**
 * Whether a device still tells the truth. Two things end that: its loss, and a refused submit (WebGPU drops
 * it whole, so every later read could return stale bytes). From then on `check` throws the same error, and
 * `openGpu` opens a new device.
 */
export class DeviceHealth {
  readonly #device: GPUDevice;
  readonly #useScopes = isOn("POLARGRAD_VALIDATE");
  #fatal: PolargradError | null = null;
  #incidents: Incident[] | null = null;
  #scopes: Promise<void>[] = [];

  constructor(device: GPUDevice) {
    this.#device = device;
    device.onuncapturederror = (event) => {
      event.preventDefault();
      const incident = { kind: kindOf(event.error), detail: event.error.message };
      if (this.#incidents) this.#incidents.push(incident);
      else this.fail(new GpuValidationError("WebGPU refused a command", [], incident.detail));
    };
    void device.lost.then((info) => this.fail(new GpuDeviceLostError(info.reason, info.message)));
  }

  /** The error that ended this device, or null while it works. */
  get error(): PolargradError | null {
    return this.#fatal;
  }

  /** Throws the error that ended this device, if one did. */
  check(): void {
    if (this.#fatal) throw this.#fatal;
  }

  /** Ends this device with `error`; the first one is kept. */
  fail(error: PolargradError): void {
    this.#fatal ??= error;
  }

  /**
   * Runs `action` and returns what WebGPU reported during it. Dawn reports within the call; a browser later,
   * which then ends the device.
   */
  attempt<T>(action: () => T): { value: T; incidents: readonly Incident[] } {
    const outer = this.#incidents;
    const incidents: Incident[] = [];
    this.#incidents = incidents;
    try {
      return { value: action(), incidents };
    } finally {
      this.#incidents = outer;
    }
  }

  /**
   * Runs `submit`; a report during it ends the device with a `GpuValidationError` naming `kernels`. With
   * POLARGRAD_VALIDATE=1 it runs inside error scopes, which the next `settled` waits for.
   */
  submit(kernels: () => readonly string[], submit: () => void): void {
    const refuse = (detail: string) => this.fail(refusal(kernels(), detail));
    if (!this.#useScopes) {
      const first = this.attempt(submit).incidents[0];
      if (first) refuse(first.detail);
      this.check();
      return;
    }
    for (const filter of ["validation", "out-of-memory", "internal"] as const)
      this.#device.pushErrorScope(filter);
    submit();
    for (let scope = 0; scope < 3; scope++) {
      this.#scopes.push(
        this.#device
          .popErrorScope()
          .then((error) => error && refuse(error.message))
          .then(() => undefined),
      );
    }
  }

  /** Resolves when every error scope so far has been heard. */
  async settled(): Promise<void> {
    const scopes = this.#scopes;
    this.#scopes = [];
    await Promise.all(scopes);
  }
}
