/** Optional WebGPU features that kernels may use. */
export interface GpuFeatures {
  readonly f16: boolean;
  readonly subgroups: boolean;
  readonly timestampQuery: boolean;
}

/** The limits that kernels and buffers are planned by. */
export interface GpuLimits {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
  readonly maxStorageBuffersPerShaderStage: number;
  readonly maxComputeWorkgroupStorageSize: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxComputeWorkgroupSizeX: number;
  readonly maxComputeWorkgroupSizeY: number;
  readonly maxComputeWorkgroupSizeZ: number;
  readonly maxComputeWorkgroupsPerDimension: number;
}

/** Who made an adapter. */
export interface AdapterSummary {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** True for lavapipe, SwiftShader and other adapters that compute on the CPU. */
  readonly isSoftware: boolean;
}

/** What an opened device is and can. */
export interface GpuProfile extends AdapterSummary {
  /**
   * Lanes of a subgroup when every kernel gets the same number of them, else null; null without the feature
   * too.
   */
  readonly subgroupSize: number | null;
  /** 0 when unknown. */
  readonly subgroupMinSize: number;
  readonly subgroupMaxSize: number;
  readonly features: GpuFeatures;
  readonly limits: GpuLimits;
  /** Names of the tiles of a product that pay here, from large to small, once they were measured. */
  tiles?: readonly string[];
}

const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
] as const satisfies readonly (keyof GpuLimits)[];

const FEATURES: readonly GPUFeatureName[] = ["shader-f16", "subgroups", "timestamp-query"];
const SOFTWARE = /llvmpipe|lavapipe|swiftshader|softpipe|basic render/i;

/** What `info` says, with software adapters told apart. */
export function summarise(info: GPUAdapterInfo): AdapterSummary {
  const { vendor, architecture, device, description } = info;
  const isSoftware = info.isFallbackAdapter || SOFTWARE.test(`${architecture} ${device} ${description}`);
  return { vendor, architecture, device, description, isSoftware };
}

/**
 * The device to ask `adapter` for: all of its limits and the features we use, or with `minimal` WebGPU's
 * defaults.
 */
export function deviceDescriptor(adapter: GPUAdapter, minimal: boolean): GPUDeviceDescriptor {
  if (minimal) return {};
  return {
    requiredFeatures: FEATURES.filter((feature) => adapter.features.has(feature)),
    requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
  };
}

/** The profile of `device`, opened on an adapter with this `info`. */
export function profileOf(device: GPUDevice, info: GPUAdapterInfo): GpuProfile {
  const subgroups = device.features.has("subgroups");
  const { subgroupMinSize = 0, subgroupMaxSize = 0 } = info;
  const { limits } = device;
  return {
    ...summarise(info),
    subgroupSize:
      subgroups && subgroupMinSize > 0 && subgroupMinSize === subgroupMaxSize ? subgroupMinSize : null,
    subgroupMinSize,
    subgroupMaxSize,
    features: {
      f16: device.features.has("shader-f16"),
      subgroups,
      timestampQuery: device.features.has("timestamp-query"),
    },
    limits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
      maxComputeWorkgroupSizeY: limits.maxComputeWorkgroupSizeY,
      maxComputeWorkgroupSizeZ: limits.maxComputeWorkgroupSizeZ,
      maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
    },
  };
}
