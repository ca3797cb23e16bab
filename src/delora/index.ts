export { AdaptedLinear } from "./adapted-linear.ts";
export { AdapterLayer, LowRankLayer, type Strength } from "./adapter-layer.ts";
export type { AdapterReportRow } from "./adapter-report.ts";
export type { WarningHandler } from "./config-json.ts";
export { DeloraConfig, type DeloraConfigOptions } from "./delora-config.ts";
export { type DeloraInit, DeloraLayer } from "./delora-layer.ts";
export {
  AdapterConfigError,
  AdapterError,
  AdapterFileError,
  type AdapterFileErrorCode,
  TargetModulesError,
} from "./errors.ts";
export { deloraFactors, type DeloraTensors, type Factors, NORM_EPSILON } from "./formula.ts";
export { readPeftConfig } from "./load-config.ts";
export { LoraConfig, type LoraConfigOptions } from "./lora-config.ts";
export { type LoraInit, LoraLayer, type LoraLayerOptions } from "./lora-layer.ts";
export { type ConfigSchema, PeftConfig, type PeftConfigOptions, type TaskType } from "./peft-config.ts";
export { type AdaptableModel, getPeftModel, type LoadAdapterOptions, PeftModel } from "./peft-model.ts";
