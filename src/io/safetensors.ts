export { SAFETENSORS_DTYPE_BITS, type SafetensorsDType } from "./safetensors-dtypes.ts";
export { SafetensorsError, type SafetensorsErrorCode } from "./safetensors-error.ts";
export { parseSafetensors, type SafetensorsFile, type SafetensorsTensor } from "./safetensors-read.ts";
export {
  type SafetensorsInput,
  type SafetensorsMetadata,
  serializeSafetensors,
} from "./safetensors-write.ts";
