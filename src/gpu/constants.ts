// WebGPU's flag values. Browsers have them as globals, Node has not.

/** `GPUBufferUsage`. */
export const USAGE = {
  mapRead: 0x1,
  copySource: 0x4,
  copyTarget: 0x8,
  uniform: 0x40,
  storage: 0x80,
  queryResolve: 0x200,
} as const;
/** `GPUShaderStage.COMPUTE`. */
export const COMPUTE_STAGE = 0x4;
/** `GPUMapMode.READ`. */
export const MAP_READ = 0x1;
