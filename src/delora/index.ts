export type { AdaptableModel, MergeOptions } from "./adapted-model.ts";
export { type AdapterFolder, readAdapterFolder } from "./adapter-folder.ts";
export { AdaptedLinear } from "./adapted-linear.ts";
export type { AdapterLoadReport } from "./adapter-files.ts";
export { AdapterLayer, type Directions, type Factors, type LinearSite, LowRankLayer, type Strength } from "./adapter-layer.ts";
export { type AdapterReportRow, reportLayer, type Spread } from "./adapter-report.ts";
export { type ConfigField, type ConfigSchema, configFields, type Names } from "./config-fields.ts";
export type { WarningHandler } from "./config-json.ts";
export {
  type ConvertedModule,
  convertToLora,
  type LoraAdapter,
  loraAdapter,
  saveAsLora,
  sizeOf,
  writeLora,
} from "./convert-to-lora.ts";
export { DeloraConfig, type DeloraConfigOptions } from "./delora.ts";
export { type DeloraInit, DeloraLayer } from "./delora-layer.ts";
export { DoraLayer } from "./dora.ts";
export {
  AdapterConfigError,
  AdapterError,
  AdapterFileError,
  type AdapterFileErrorCode,
  TargetModulesError,
} from "./errors.ts";
export { deloraFactors, type DeloraTensors, NORM_EPSILON } from "./formula.ts";
export type { LoadOptions } from "./load-adapter.ts";
export { readPeftConfig } from "./load-config.ts";
export { LoraConfig, type LoraConfigOptions, LoraLayer } from "./lora.ts";
export type { LoraInit, LoraLayerOptions } from "./lora-matrices.ts";
export { registerMethod } from "./methods.ts";
export { PaperDeloraLayer } from "./paper-delora.ts";
export {
  COMMON_FIELDS,
  type ConfigClass,
  PeftConfig,
  type PeftConfigOptions,
  type TaskType,
} from "./peft-config.ts";
export {
  type FromPretrainedOptions,
  getPeftModel,
  injectAdapterInModel,
  PeftModel,
  type SavePretrainedOptions,
} from "./peft-model.ts";
export { PatternError } from "./regex/index.ts";
export { SavedModule } from "./saved-module.ts";
export type { LayerStatus, ModelStatus, Regular } from "./status.ts";
export { changeOf, matrixOf } from "./update-matrices.ts";
