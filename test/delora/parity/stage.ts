import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AdaptedLinear, PeftModel } from "../../../src/delora/index.ts";
import { parseSafetensors, type SafetensorsTensor, serializeSafetensors } from "../../../src/io/index.ts";
import type { LlamaForCausalLM } from "../../../src/nn/llama-for-causal-lm.ts";
import type { Parameter } from "../../../src/tensor/parameter.ts";
import { base, configOf, fill, short } from "./models.ts";

/** What came of a step. */
export interface Outcome {
  readonly step: readonly unknown[];
  readonly value?: unknown;
  /** PEFT's class of the error (ours has the message alone) and its text. */
  readonly error?: readonly [type: string, text: string];
  readonly warnings?: readonly string[];
  /** What changed in the model. */
  readonly state?: Readonly<Record<string, unknown>>;
}

type Fields = Readonly<Record<string, unknown>>;

/** What a step does, by its first word. */
export type Plays = Readonly<Record<string, (this: Stage, ...inputs: never[]) => unknown>>;

/** Name of the file with an adapter's tensors. */
export const WEIGHTS = "adapter_model.safetensors";

/** What is the same in all scenes. */
interface Rules {
  readonly plays: Plays;
  /** Fields of a config where a step does not say otherwise, by method. */
  readonly defaults: Readonly<Record<string, Fields>>;
}

/** The model that a scene is played on, and its directory. */
export class Stage {
  readonly #variant: string;
  readonly #dir: string;
  readonly #defaults: Readonly<Record<string, Fields>>;
  readonly #plays: Plays;
  #warnings: string[] = [];
  #model: LlamaForCausalLM;
  #peft: PeftModel<LlamaForCausalLM> | null = null;

  private constructor(variant: string, dir: string, model: LlamaForCausalLM, { plays, defaults }: Rules) {
    this.#variant = variant;
    this.#dir = dir;
    this.#model = model;
    this.#plays = plays;
    this.#defaults = defaults;
  }

  /** Play a scene; what came of every step. */
  static async play(
    variant: string,
    steps: readonly (readonly unknown[])[],
    rules: Rules,
  ): Promise<Outcome[]> {
    const dir = await mkdtemp(join(tmpdir(), "polargrad-scene-"));
    try {
      const stage = new Stage(variant, dir, await base(variant), rules);
      return await stage.#steps(steps);
    } finally {
      await rm(dir, { recursive: true });
    }
  }

  async #steps(steps: readonly (readonly unknown[])[]): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    for (const step of steps) outcomes.push(await this.#step(step));
    return outcomes;
  }

  async #step(step: readonly unknown[]): Promise<Outcome> {
    const before = this.#state();
    const outer = this.#warnings;
    this.#warnings = [];
    const outcome: { -readonly [key in keyof Outcome]: Outcome[key] } = { step };
    const [op, ...inputs] = step as [string, ...never[]];
    try {
      const value: unknown = await this.#plays[op].apply(this, inputs);
      if (value !== undefined) outcome.value = value;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      outcome.error = [error.name, this.#local(error.message)];
    }
    const warnings = this.#warnings.map((text) => this.#local(text));
    this.#warnings = outer;
    if (warnings.length > 0) outcome.warnings = warnings;
    const after = this.#state();
    const changes = Object.entries(after).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(before[key]));
    if (changes.length > 0) outcome.state = Object.fromEntries(changes);
    return outcome;
  }

  #state(): Record<string, unknown> {
    const parameters = this.named();
    const trained = parameters.filter(([, { requiresGrad }]) => requiresGrad).map(([name]) => name);
    const trainable = trained.length === parameters.length ? "all" : short(trained);
    const state = { trainable, training: this.#model.training };
    if (!this.#peft) return state;
    const merged = this.#peft.baseModel.namedModules().flatMap(([, module]) =>
      module instanceof AdaptedLinear ? [...module.mergedAdapters] : [],
    );
    const adapters = Object.keys(this.#peft.peftConfig);
    return { ...state, adapters, active: [...this.#peft.activeAdapters], merged: [...new Set(merged)].sort() };
  }

  /** Texts name files as PEFT was told them. */
  #local(text: string): string {
    return text.replaceAll(`${this.#dir}/`, "").replaceAll(this.#dir, "$DIR");
  }

  readonly warn = (text: string): void => void this.#warnings.push(text);

  path(...parts: readonly string[]): string {
    return join(this.#dir, ...parts);
  }

  fresh(): Promise<LlamaForCausalLM> {
    return base(this.#variant);
  }

  config(type: string, fields: Fields): ReturnType<typeof configOf> {
    return configOf(type, { ...this.#defaults[type], ...fields });
  }

  use(model: LlamaForCausalLM | PeftModel<LlamaForCausalLM>): void {
    this.#peft = model instanceof PeftModel ? model : null;
    this.#model = model instanceof PeftModel ? model.baseModel : model;
  }

  get peft(): PeftModel<LlamaForCausalLM> {
    if (this.#peft) return this.#peft;
    throw new Error("the model of this scene is not wrapped");
  }

  get model(): LlamaForCausalLM | PeftModel<LlamaForCausalLM> {
    return this.#peft ?? this.#model;
  }

  get plain(): LlamaForCausalLM {
    return this.#model;
  }

  named(): [string, Parameter][] {
    return this.model.namedParameters();
  }

  fill(name: string): void {
    fill(this.named(), name);
  }

  nested(steps: readonly (readonly unknown[])[]): Promise<Outcome[]> {
    return this.#steps(steps);
  }

  async retensor(dir: string, change: (tensors: [string, SafetensorsTensor][]) => [string, SafetensorsTensor][]): Promise<void> {
    const file = this.path(dir, WEIGHTS);
    const { tensors } = parseSafetensors(await readFile(file));
    await writeFile(file, serializeSafetensors(change([...tensors]), { format: "pt" }));
  }
}
