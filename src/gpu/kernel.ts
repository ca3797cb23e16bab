import { COMPUTE_STAGE } from "./constants.ts";
import { isOn } from "./env.ts";
import { GpuLimitError, GpuValidationError } from "./errors.ts";
import type { DeviceHealth } from "./health.ts";

/** How a kernel uses one of its storage buffers. */
export type Binding = "read" | "read_write";

/**
 * A WGSL compute kernel with the entry point `main`. `group(0)` holds its storage buffers in the order of
 * `bindings`; `group(1) binding(0)` is a uniform of at most 256 bytes with its parameters. Make it a module
 * constant: kernels are compiled once per source.
 */
export interface KernelSource {
  readonly label: string;
  readonly code: string;
  readonly bindings: readonly Binding[];
}

/** Kernels with the same bindings share one layout, and with it their bind groups. */
export interface KernelLayout {
  /** Tells layouts apart in cache keys: `"rrw|"`-like. */
  readonly shape: string;
  readonly buffers: GPUBindGroupLayout;
  readonly pipeline: GPUPipelineLayout;
}

/** A kernel ready to run. */
export interface CompiledKernel {
  readonly label: string;
  readonly bindings: readonly Binding[];
  readonly layout: KernelLayout;
  readonly pipeline: GPUComputePipeline;
}

// Dawn: ":12:5 error: unresolved value 'x'"
const WGSL_ERROR = /:(\d+):(\d+) error: ([^\n]+)/;

const failure = (label: string, detail: string): GpuValidationError => {
  const [, line, column, text] = WGSL_ERROR.exec(detail) ?? [];
  const where = line ? `line ${line}, column ${column}: ${text}` : detail;
  return new GpuValidationError(`Kernel ${label} does not compile`, [label], where);
};

/** Compiles kernels, each once per device. */
export class KernelCache {
  readonly #device: GPUDevice;
  readonly #health: DeviceHealth;
  readonly #params: GPUBindGroupLayout;
  readonly #bySource = new WeakMap<KernelSource, CompiledKernel>();
  readonly #byCode = new Map<string, CompiledKernel>();
  readonly #layouts = new Map<string, KernelLayout>();
  #fresh: KernelSource[] = [];

  constructor(device: GPUDevice, health: DeviceHealth, params: GPUBindGroupLayout) {
    this.#device = device;
    this.#health = health;
    this.#params = params;
  }

  /** Number of compiled pipelines. */
  get size(): number {
    return this.#byCode.size;
  }

  /** The kernels that were compiled since this was last asked. */
  takeFresh(): readonly KernelSource[] {
    const fresh = this.#fresh;
    if (fresh.length > 0) this.#fresh = [];
    return fresh;
  }

  /** The compiled kernel. Throws `GpuValidationError` with the line of the WGSL error, or `GpuLimitError`. */
  get(source: KernelSource): CompiledKernel {
    const known = this.#lookUp(source);
    if (known) return known;
    const layout = this.#layout(source);
    const { value: pipeline, incidents } = this.#health.attempt(() =>
      this.#device.createComputePipeline(this.#descriptor(source, layout)),
    );
    const [incident] = incidents;
    if (incident) throw failure(source.label, incident.detail);
    return this.#keep(source, { label: source.label, bindings: source.bindings, layout, pipeline });
  }

  /**
   * Like `get`, but off the calling thread where the driver can. A refusal rejects and leaves the device
   * healthy.
   */
  async compile(source: KernelSource): Promise<CompiledKernel> {
    const known = this.#lookUp(source);
    if (known) return known;
    const layout = this.#layout(source);
    const { value: descriptor, incidents } = this.#health.attempt(() => this.#descriptor(source, layout));
    const [incident] = incidents;
    if (incident) throw failure(source.label, incident.detail);
    try {
      const pipeline = await this.#device.createComputePipelineAsync(descriptor);
      this.#health.check();
      return this.#keep(source, { label: source.label, bindings: source.bindings, layout, pipeline });
    } catch (cause) {
      this.#health.check();
      throw failure(source.label, cause instanceof Error ? cause.message : String(cause));
    }
  }

  #lookUp(source: KernelSource): CompiledKernel | undefined {
    const known = this.#bySource.get(source) ?? this.#byCode.get(shapeOf(source) + source.code);
    if (known) this.#bySource.set(source, known);
    return known;
  }

  #keep(source: KernelSource, kernel: CompiledKernel): CompiledKernel {
    this.#byCode.set(kernel.layout.shape + source.code, kernel);
    this.#fresh.push(source);
    this.#bySource.set(source, kernel);
    return kernel;
  }

  #descriptor({ label, code }: KernelSource, layout: KernelLayout): GPUComputePipelineDescriptor {
    const module = this.#device.createShaderModule({ label, code });
    if (isOn("POLARGRAD_VALIDATE")) void printMessages(label, module);
    return { label, layout: layout.pipeline, compute: { module, entryPoint: "main" } };
  }

  #layout(source: KernelSource): KernelLayout {
    const shape = shapeOf(source);
    const known = this.#layouts.get(shape);
    if (known) return known;
    const max = this.#device.limits.maxStorageBuffersPerShaderStage;
    const asked = source.bindings.length;
    if (asked > max) {
      const advice = "split the kernel, or pack tensors into one buffer";
      throw new GpuLimitError(
        `Bindings of ${source.label}`,
        "maxStorageBuffersPerShaderStage",
        asked,
        max,
        advice,
      );
    }
    const buffers = this.#device.createBindGroupLayout({
      label: shape,
      entries: source.bindings.map((use, binding) => ({
        binding,
        visibility: COMPUTE_STAGE,
        buffer: { type: use === "read" ? "read-only-storage" : "storage" },
      })),
    });
    const pipeline = this.#device.createPipelineLayout({
      label: shape,
      bindGroupLayouts: [buffers, this.#params],
    });
    const layout = { shape, buffers, pipeline };
    this.#layouts.set(shape, layout);
    return layout;
  }
}

const shapeOf = (source: KernelSource): string =>
  `${source.bindings.map((use) => (use === "read" ? "r" : "w")).join("")}|`;

async function printMessages(label: string, module: GPUShaderModule): Promise<void> {
  const { messages } = await module.getCompilationInfo();
  for (const { type, lineNum, linePos, message } of messages) {
    if (type !== "error")
      console.warn(`kernel ${label}: ${type} at line ${lineNum}, column ${linePos}: ${message}`);
  }
}
