import ts from "typescript";
import { expect, it } from "vitest";
import { parse, sourceFiles, textOf } from "./sources.ts";

const names = (text: string): string[] => text.trim().split(/\s+/);

/** What each entry point of package.json exports, types included: a change here changes the public interface. */
const PUBLIC: Readonly<Record<string, readonly string[]>> = {
  ".": names(`
    ArgumentError BackwardOptions BlockFormat CaptureError Captured DType Device DeviceChoice DeviceError DeviceInfo DisposedError
    GeneratorState GraphError HalfFormat Parameter PolargradError Shape ShapeError StoredFormat Tensor TypedArray abs
    adamwUpdate add allOps arange argmax attention capture cast checkpoint clamp closeDevice concat cos
    crossEntropy currentGpu defaultDevice defineOp div dropout ema emaSquare embedding enableGrad equal
    erf exp expand full gather gelu getGeneratorState grad gradients greater greaterEqual hostTensor init isFinite
    isGradEnabled layerNorm less lessEqual linear linearCrossEntropy log logSoftmax logicalAnd
    logicalNot logicalOr logsumexp manualSeed matmul max maximum mean min minimum mul neg noGrad norm
    notEqual ones pad pow quantize rand randn reciprocal relu reshape rmsNorm rope rsqrt scatterAdd
    setGeneratorState sigmoid sign silu sin slice softmax split sqrt square squeeze stack sub sum swiglu
    tanh tensor tidy to transpose unsqueeze where zeros`),
  "./nn": names(`
    AutoTokenizer CausalLMInputs CausalLMOutput Dropout Embedding FromConfigOptions
    FromPretrainedOptions GenerateOptions GenerationModel KeysValues KvCache LayerContext LayerNorm
    Linear LinearOptions LlamaAttention LlamaDecoderLayer LlamaForCausalLM LlamaInit LlamaMLP LlamaModel
    LlamaModelInputs LoadDType LoadReport Module PreparedInputs RMSNorm RopeAngles Rows SamplingSettings SizeMismatch
    StateDictError StateDictProblems TensorModule WeightInit generate parameterOf uniformInit`),
  "./delora": names(`
    AdaptableModel AdaptedLinear AdapterConfigError AdapterError AdapterFileError AdapterFileErrorCode
    AdapterFolder AdapterLayer AdapterLoadReport AdapterReportRow COMMON_FIELDS ConfigClass ConfigField
    ConfigSchema ConvertedModule DeloraConfig DeloraConfigOptions DeloraInit DeloraLayer DeloraTensors
    Directions DoraLayer Factors FromPretrainedOptions LayerStatus LinearSite LoadOptions LoraAdapter
    LoraConfig LoraConfigOptions LoraInit LoraLayer LoraLayerOptions LowRankLayer MergeOptions
    ModelStatus NORM_EPSILON Names  PaperDeloraLayer PatternError PeftConfig
    PeftConfigOptions PeftModel Regular SavePretrainedOptions SavedModule Spread Strength
    TargetModulesError TaskType WarningHandler changeOf configFields convertToLora deloraFactors
    getPeftModel injectAdapterInModel loraAdapter matrixOf readAdapterFolder readPeftConfig
    registerMethod reportLayer saveAsLora sizeOf writeLora`),
  "./train": names(`
    AdamW AdamWOptions ParamGroup ParamGroupInit ScheduleName ScheduleOptions Scheduler StepReport
    TrainableModel Trainer TrainingArguments TrainingError TrainingEvents clipGradNorm clipGradients
    evaluateLoss getScheduler scheduleFactor`),
  "./io": names(`
    AutoTokenizer Batch Checkpoint CheckpointError CheckpointErrorCode ConfigError DatasetError
    DecodeError EncodeOptions EncodedRow FileError FileErrorCode IGNORE_LABEL LlamaConfig RopeScaling
    RowTokenizer SAFETENSORS_DTYPE_BITS SafetensorsDType SafetensorsError SafetensorsErrorCode
    SafetensorsFile SafetensorsInput SafetensorsMetadata SafetensorsTensor SpecialTokens TextRow
    Tokenizer TokenizerError baseName collate decodeFloat32 decodeFloat64 decodeInt32 encodeRows exists
    joinPath llamaConfigToJson parseLlamaConfig parseSafetensors plainFileName readBytes readCheckpoint
    readDataset readJson readSafetensors readText ropeInverseFrequencies serializeSafetensors splitRows
    writeDirectoryFiles writeFileAtomic`),
  "./testing": names(`
    CallInput CallKind CallOptions DeclaredOp Differentiable GradcheckError GradcheckOptions Law
    LawError LawOptions OpCall ShapeLimits TensorLimits callsOf gradcheck gradgradcheck opLaws shapes
    tensors`),
};

/** `./io` → `src/io/index.ts`. */
const entries = Object.keys(
  (JSON.parse(textOf("package.json")) as { exports: Record<string, string> }).exports,
).filter((entry) => !entry.endsWith(".json"));
const fileOf = (entry: string): string => (entry === "." ? "src/index.ts" : `src/${entry.slice(2)}/index.ts`);

/** The sorted names that a barrel exports; it has to spell each of them. */
function exportedNames(file: string): string[] {
  return parse(file)
    .statements.flatMap((statement) => {
      if (!ts.isExportDeclaration(statement))
        return [`${statement.getText().slice(0, 40)}… (a barrel only re-exports)`];
      const { exportClause } = statement;
      if (!exportClause || !ts.isNamedExports(exportClause))
        return [`${statement.getText()} (a barrel names its exports)`];
      return exportClause.elements.map((element) => element.name.text);
    })
    .sort();
}

it("lists every entry point", () => {
  expect(Object.keys(PUBLIC).sort()).toEqual([...entries].sort());
});

it.each(entries.filter((entry) => sourceFiles("src").includes(fileOf(entry))))(
  "%s exports exactly these names",
  (entry) => {
    expect(exportedNames(fileOf(entry))).toEqual(PUBLIC[entry]);
  },
);

it("has a file behind every entry point", () => {
  expect(entries.map(fileOf).filter((file) => !sourceFiles("src").includes(file))).toEqual([]);
});
