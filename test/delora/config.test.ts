import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import {
  AdapterConfigError,
  AdapterFileError,
  DeloraConfig,
  type DeloraConfigOptions,
  getPeftModel,
  LoraConfig,
  readPeftConfig,
} from "../../src/delora/index.ts";
import { pythonFloat, toPythonJson } from "../../src/delora/python-json.ts";
import { sharedPath } from "../shared.ts";
import { tinyLlama } from "./tiny-llama.ts";

const thrown = (f: () => unknown): unknown => {
  try {
    f();
  } catch (error) {
    return error;
  }
  return null;
};

const fileOf = (config: DeloraConfig | LoraConfig, changes: Record<string, unknown>): string =>
  JSON.stringify({ ...JSON.parse(config.toJson()), ...changes });

describe("DeloraConfig", () => {
  it("has PEFT's defaults", () => {
    const { r, deloraLambda, moduleDropout, targetModules, taskType, bias, initWeights } = new DeloraConfig();
    expect({ r, deloraLambda, moduleDropout, targetModules, taskType, bias, initWeights }).toEqual({
      r: 8,
      deloraLambda: 15,
      moduleDropout: 0,
      targetModules: null,
      taskType: null,
      bias: "none",
      initWeights: true,
    });
  });

  it.each<[unknown, string]>([
    [{ r: 0 }, "`r` must be a positive integer; got 0."],
    [{ r: -2 }, "`r` must be a positive integer; got -2."],
    [{ r: 1.5 }, "`r` must be a positive integer; got 1.5."],
    [{ r: null }, "`r` must be a positive integer; got null."],
    [{ taskType: "X" }, "Invalid task type: 'X'. Must be one of the following task types: SEQ_CLS,"],
    [{ moduleDropout: 2 }, "dropout probability has to be between 0 and 1, but got 2.0"],
    [{ moduleDropout: -0.1 }, "dropout probability has to be between 0 and 1, but got -0.1"],
    [{ deloraLambda: Number.NaN }, "`delora_lambda` must be a finite number"],
    [{ initWeights: "yes" }, '`init_weights` must be true or false; got "yes".'],
    [{ bogus: 1 }, 'DeloraConfig got an unexpected option "bogus"; its options are r, targetModules, excludeModules,'],
    [{ loraAlpha: 8 }, 'DeloraConfig got an unexpected option "loraAlpha"'],
    [{ targetModules: 5 }, '`target_modules` must be a list of module names such as ["q_proj", "v_proj"]'],
    [{ rankPattern: { q_proj: "2" } }, "`rank_pattern` must be an object of numbers"],
    [{ variant: "other" }, '`variant` must be one of "peft", "paper"; got "other".'],
    [{ variant: "paper", initWeights: false }, "leave `init_weights` true"],
    [
      { targetModules: ".*proj", layersToTransform: 0 },
      "`layers_to_transform` cannot be used when `target_modules` is a str.",
    ],
    [
      { layersPattern: "layers", r: 0 },
      "When `layers_pattern` is specified, `layers_to_transform` must also be specified. ",
    ],
  ])("refuses %j", (options, message) => {
    const error = thrown(() => new DeloraConfig(options as DeloraConfigOptions));
    expect(error).toBeInstanceOf(AdapterConfigError);
    expect((error as Error).message).toContain(message);
  });

  it("writes PEFT's 19 sorted keys", () => {
    const config = new DeloraConfig({
      targetModules: ["q_proj", "q_proj", "v_proj"],
      moduleDropout: 0.05,
      deloraLambda: 2.5,
    });
    expect(config.toJson()).toBe(`{
  "auto_mapping": null,
  "base_model_name_or_path": null,
  "bias": "none",
  "delora_lambda": 2.5,
  "exclude_modules": null,
  "inference_mode": false,
  "init_weights": true,
  "lambda_pattern": {},
  "layers_pattern": null,
  "layers_to_transform": null,
  "module_dropout": 0.05,
  "modules_to_save": null,
  "peft_type": "DELORA",
  "peft_version": "0.21.0",
  "r": 8,
  "rank_pattern": {},
  "revision": null,
  "target_modules": [
    "q_proj",
    "v_proj"
  ],
  "task_type": null
}`);
  });

  it("reads what it writes", () => {
    const config = new DeloraConfig({
      r: 3,
      targetModules: ["q_proj"],
      taskType: "CAUSAL_LM",
      inferenceMode: true,
      initWeights: false,
      baseModelNameOrPath: "dir/μ",
      revision: "main",
      autoMapping: { base_model_class: "LlamaForCausalLM" },
    });
    expect(config.toJson()).toContain('"dir/\\u03bc"');
    expect(DeloraConfig.fromJson(config.toJson())).toEqual(config);
  });
});

describe("getPeftModel", () => {
  it("refuses options that are no config", () => {
    const options = { r: 4 } as unknown as DeloraConfig;
    expect(() => getPeftModel(tinyLlama(), options)).toThrow("needs a DeloraConfig or a LoraConfig");
  });
});

describe("LoraConfig", () => {
  it("reads what it writes", () => {
    const config = new LoraConfig({
      r: 4,
      loraAlpha: 16,
      useRslora: true,
      initLoraWeights: "gaussian",
      loraDropout: 0.1,
    });
    expect(LoraConfig.fromJson(config.toJson())).toEqual(config);
    expect(config.toJson()).toContain('"lora_dropout": 0.1,');
  });

  it("refuses initialisations that change the base", () => {
    const error = thrown(() => LoraConfig.fromJson(fileOf(new LoraConfig(), { init_lora_weights: "pissa" })));
    expect((error as Error).message).toContain('sets init_lora_weights to "pissa"');
  });
});

describe("adapter_config.json", () => {
  it.each<[string, unknown]>([
    ["lora_bias", true],
    ["fan_in_fan_out", true],
    ["trainable_token_indices", [1]],
  ])("of LoRA is refused when it sets %s to %j", (field, value) => {
    const error = thrown(() => LoraConfig.fromJson(fileOf(new LoraConfig(), { [field]: value })));
    expect(error).toMatchObject({ name: "AdapterConfigError", field, value });
  });

  it("keeps floats floats, in fields and in patterns", () => {
    const text = DeloraConfig.fromJson(
      '{"peft_type":"DELORA","delora_lambda":4.0,"lambda_pattern":{"q_proj":2.0,"v_proj":3,"a\\"b":-1.00},"r":2}',
    ).toJson();
    for (const line of ['"delora_lambda": 4.0,', '"q_proj": 2.0,', '"v_proj": 3', '"a\\"b": -1.0,', '"r": 2,'])
      expect(text).toContain(line);
    expect(DeloraConfig.fromJson(text).with({ inferenceMode: true }).toJson()).toContain('"delora_lambda": 4.0,');
  });

  it("may be an older PEFT's, with fewer fields or empty lists", () => {
    const config = DeloraConfig.fromJson(
      '{"peft_type":"DELORA","r":2,"target_modules":["q_proj"],"layers_to_transform":[]}',
    );
    expect(config).toMatchObject({ r: 2, deloraLambda: 15, targetModules: ["q_proj"] });
  });

  it("may be a newer PEFT's, with unknown fields", () => {
    const warn = vi.fn();
    DeloraConfig.fromJson(fileOf(new DeloraConfig(), { runtime_config: {}, warp: 9, alpha: 1 }), warn);
    const message = "Unexpected keyword arguments ['alpha', 'warp'] for class DeloraConfig, these are ignored.";
    expect(warn).toHaveBeenCalledWith(expect.stringContaining(message));
    expect(warn).toHaveBeenCalledWith(expect.stringContaining("contains a `runtime_config` key"));
    expect(warn).toHaveBeenCalledTimes(2);
  });

  it.each([
    ["{", "not valid JSON"],
    ["[]", "expected a JSON object"],
    ["{}", "peft_type is missing"],
    ['{"peft_type":"LORA"}', 'peft_type is "LORA", but DeloraConfig reads "DELORA"'],
    ['{"peft_type":"DELORA","r":0}', "`r` must be a positive integer; got 0."],
    ['{"peft_type":"DELORA","r":"8"}', '`r` must be a positive integer; got "8".'],
  ])("is refused as %s", (text, message) => {
    const error = thrown(() => DeloraConfig.fromJson(text));
    expect(error).toBeInstanceOf(AdapterConfigError);
    expect((error as Error).message).toContain(message);
  });

  it("is found in a directory, whichever method it is of", async () => {
    const dir = await mkdtemp(join(tmpdir(), "polargrad-config-"));
    try {
      await expect(readPeftConfig(dir)).rejects.toThrow(`Can't find 'adapter_config.json' at '${dir}'`);
      await expect(readPeftConfig(join(dir, "no"))).rejects.toBeInstanceOf(AdapterFileError);
      await writeFile(join(dir, "adapter_config.json"), new LoraConfig().toJson());
      expect(await readPeftConfig(dir)).toEqual(new LoraConfig());
      await writeFile(join(dir, "adapter_config.json"), '{"peft_type":"IA3"}');
      await expect(readPeftConfig(dir)).rejects.toThrow(
        'has peft_type "IA3"; the supported ones are DELORA, LORA',
      );
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  const goldens = [
    "goldens/peft-stories260K/adapter/adapter_config.json",
    "goldens/peft-tiny/lora-init/adapter_config.json",
  ].map(sharedPath);
  it.skipIf(goldens.includes(null)).each(goldens)("is byte-equal to PEFT's: %s", async (path) => {
    const text = await readFile(path ?? "", "utf8");
    const dir = join(path ?? "", "..");
    expect((await readPeftConfig(dir)).toJson()).toBe(text);
  });
});

describe("Python's JSON", () => {
  it.each([
    [0, "0.0"],
    [-0, "-0.0"],
    [15, "15.0"],
    [0.05, "0.05"],
    [1e-4, "0.0001"],
    [1e-5, "1e-05"],
    [1.25e-7, "1.25e-07"],
    [123456789012345680, "1.2345678901234568e+17"],
    [1e15, "1000000000000000.0"],
    [1e16, "1e+16"],
    [1e100, "1e+100"],
  ])("prints the float %d as %s", (value, text) => {
    expect(pythonFloat(value)).toBe(text);
  });

  it("escapes what is not ASCII and nests", () => {
    const text = toPythonJson({ b: ["é😀\u007f\n"], a: { z: [], y: {} }, c: 1 }, new Set(["c"]));
    const lines = [
      "{",
      '  "a": {',
      '    "y": {},',
      '    "z": []',
      "  },",
      '  "b": [',
      String.raw`    "\u00e9\ud83d\ude00\u007f\n"`,
    ];
    expect(text).toBe([...lines, "  ],", '  "c": 1.0', "}"].join("\n"));
  });
});
