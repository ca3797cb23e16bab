export {
  type Batch,
  collate,
  type EncodedRow,
  type EncodeOptions,
  encodeRows,
  IGNORE_LABEL,
  type RowTokenizer,
} from "./batches.ts";
export {
  type Checkpoint,
  CheckpointError,
  type CheckpointErrorCode,
  readCheckpoint,
  readSafetensors,
} from "./checkpoint.ts";
export { DatasetError, readDataset, splitRows, type TextRow } from "./dataset.ts";
export { DecodeError, decodeFloat32, decodeFloat64, decodeInt32 } from "./decode.ts";
export {
  baseName,
  exists,
  FileError,
  type FileErrorCode,
  joinPath,
  plainFileName,
  readBytes,
  readJson,
  readText,
  writeDirectoryFiles,
  writeFileAtomic,
} from "./files.ts";
export { ConfigError } from "./json-fields.ts";
export {
  type LlamaConfig,
  llamaConfigToJson,
  parseLlamaConfig,
  type RopeScaling,
  ropeInverseFrequencies,
} from "./llama-config.ts";
export {
  parseSafetensors,
  SAFETENSORS_DTYPE_BITS,
  type SafetensorsDType,
  SafetensorsError,
  type SafetensorsErrorCode,
  type SafetensorsFile,
  type SafetensorsInput,
  type SafetensorsMetadata,
  type SafetensorsTensor,
  serializeSafetensors,
} from "./safetensors.ts";
export { AutoTokenizer, type SpecialTokens, Tokenizer, TokenizerError } from "./tokenizer.ts";
