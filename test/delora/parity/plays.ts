import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { vi } from "vitest";
import { type AdaptedLinear, convertToLora, getPeftModel, injectAdapterInModel, PeftModel } from "../../../src/delora/index.ts";
import { parseSafetensors, type SafetensorsTensor } from "../../../src/io/index.ts";
import { camelCased, configOf, logitsOf, move, put, short } from "./models.ts";
import { type Stage, WEIGHTS } from "./stage.ts";

type Fields = Readonly<Record<string, unknown>>;

const digits = (values: ArrayLike<number>): (number | "NaN")[] =>
  Array.from(values)
    .slice(0, 6)
    .map((value) => (Number.isNaN(value) ? "NaN" : value));

/** PEFT's spelling of a status's fields, without those that are not recorded. */
function snakeCased(status: object, omitted: readonly string[]): Record<string, unknown> {
  const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const entries = Object.entries(status).map(([name, value]) => [snake(name), value] as const);
  return Object.fromEntries(entries.filter(([name]) => !omitted.includes(name)));
}

/** The operations of scripts/record-scenes.py. */
export const PLAYS = {
  config(this: Stage, type: string, fields: Fields) {
    configOf(type, fields);
  },
  async wrap(this: Stage, type: string, fields: Fields, name: string) {
    this.use(getPeftModel(await this.fresh(), this.config(type, fields), name, { warn: this.warn }));
    this.fill(name);
  },
  rewrap(this: Stage, type: string, fields: Fields, name: string) {
    this.use(getPeftModel(this.peft.baseModel, this.config(type, fields), name, { warn: this.warn }));
    this.fill(name);
  },
  inject(this: Stage, type: string, fields: Fields, name: string) {
    this.use(injectAdapterInModel(this.config(type, fields), this.plain, name, { warn: this.warn }));
    this.fill(name);
  },
  add(this: Stage, name: string, type: string, fields: Fields) {
    this.peft.addAdapter(name, this.config(type, fields));
    this.fill(name);
  },
  set(this: Stage, names: string | string[], options: Fields = {}) {
    this.peft.setAdapter(names, camelCased(options));
  },
  delete(this: Stage, name: string) {
    this.peft.deleteAdapter(name);
  },
  merge(this: Stage, options: Fields = {}) {
    return this.peft.mergeAdapter(camelCased(options));
  },
  unmerge(this: Stage) {
    this.peft.unmergeAdapter();
  },
  async merge_and_unload(this: Stage, options: Fields = {}) {
    this.use(await this.peft.mergeAndUnload(camelCased(options)));
  },
  unload(this: Stage) {
    this.use(this.peft.unload());
  },
  disable(this: Stage, steps: unknown[][]) {
    return this.peft.disableAdapter(() => this.nested(steps));
  },
  requires_grad(this: Stage, names: string | string[], flag: boolean) {
    this.peft.setRequiresGrad(names, flag);
  },
  async fresh(this: Stage) {
    this.use(await this.fresh());
  },
  forward(this: Stage, inputs: Fields = {}) {
    return digits(logitsOf(this.model, camelCased(inputs)).slice(-32));
  },
  delta(this: Stage, path: string, name: string) {
    const adapted = this.plain.getSubmodule(`model.${path}`) as AdaptedLinear;
    return digits(adapted.getDeltaWeight(name).dataSync());
  },
  status(this: Stage) {
    return snakeCased(this.peft.getModelStatus(), ["devices"]);
  },
  layers(this: Stage) {
    const layers = this.peft.getLayerStatus();
    const shown = [layers[0], layers[layers.length - 1]].map((layer) => ({ ...snakeCased(layer, []), name: `model.${layer.name}` }));
    return [layers.length, ...shown];
  },
  print(this: Stage) {
    const print = vi.spyOn(console, "log").mockImplementation(() => undefined);
    const line = this.peft.printTrainableParameters();
    const printed = print.mock.calls;
    print.mockRestore();
    if (printed.length !== 1 || printed[0][0] !== line) throw new Error("the line was not printed");
    return line;
  },
  trainable() {
    return undefined;
  },
  keys(this: Stage) {
    return short(this.model.stateDict().keys());
  },
  freeze(this: Stage, part: string) {
    for (const [name, parameter] of this.named()) if (name.includes(part)) parameter.requiresGrad = false;
  },
  waves(this: Stage, part: string) {
    for (const [name, parameter] of this.named()) if (name.includes(part)) move(name, parameter);
  },
  zero(this: Stage, adapter: string) {
    for (const [name, parameter] of this.named())
      if (name.includes(`_B.${adapter}`)) put(parameter, new Float32Array(parameter.size));
  },
  break(this: Stage, adapter: string, value: "nan" | "inf") {
    const [, parameter] = this.named().find(([name]) => name.includes(`_B.${adapter}`)) ?? [];
    if (!parameter) throw new Error(`no B of ${adapter}`);
    const values = Float32Array.from(parameter.dataSync());
    values.fill(value === "nan" ? Number.NaN : Number.POSITIVE_INFINITY, 0, parameter.shape[1]);
    put(parameter, values);
  },
  save(this: Stage, dir: string, options: Fields = {}) {
    return this.peft.savePretrained(this.path(dir), camelCased(options));
  },
  async load(this: Stage, dir: string, name: string, options: Fields = {}) {
    const report = await this.peft.loadAdapter(this.path(dir), name, camelCased(options));
    return { missing: short(report.missingKeys), unexpected: short(report.unexpectedKeys).sort() };
  },
  async from_pretrained(this: Stage, dir: string, options: Fields = {}) {
    const all = { ...camelCased(options), warn: this.warn };
    this.use(await PeftModel.fromPretrained(await this.fresh(), this.path(dir), all));
  },
  async list(this: Stage, dir: string) {
    if (!(await stat(this.path(dir)).catch(() => null))) return [];
    const entries = await readdir(this.path(dir), { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    return files.map((entry) => relative(this.path(dir), join(entry.parentPath, entry.name))).sort();
  },
  async tensors(this: Stage, dir: string) {
    return short(parseSafetensors(await readFile(this.path(dir, WEIGHTS))).tensors.keys());
  },
  remove(this: Stage, path: string) {
    return rm(this.path(path));
  },
  touch(this: Stage, path: string) {
    return writeFile(this.path(path), "");
  },
  async edit(this: Stage, dir: string, fields: Fields) {
    const file = this.path(dir, "adapter_config.json");
    const config = Object.entries({ ...JSON.parse(await readFile(file, "utf8")), ...fields });
    await writeFile(file, JSON.stringify(Object.fromEntries(config.filter(([, value]) => value !== "$absent"))));
  },
  drop(this: Stage, dir: string, names: string[]) {
    return this.retensor(dir, (tensors) => tensors.filter(([name]) => !names.includes(name)));
  },
  rename(this: Stage, dir: string, changes: Record<string, string>) {
    const [[from, to]] = Object.entries(changes);
    return this.retensor(dir, (tensors) => tensors.map(([name, tensor]) => [name.replace(from, to), tensor]));
  },
  extend(this: Stage, dir: string, names: string[]) {
    const zeros: SafetensorsTensor = { dtype: "F32", shape: [2, 2], data: new Uint8Array(16) };
    return this.retensor(dir, (tensors) => [...tensors, ...names.map((name): [string, SafetensorsTensor] => [name, zeros])]);
  },
  async convert(this: Stage, options: Fields) {
    const { config, tensors } = await convertToLora(this.peft, camelCased(options));
    const down = [...tensors].filter(([name]) => name.endsWith(".lora_A.weight"));
    const path = (name: string): string => name.replace("base_model.model.", "").replace(".lora_A.weight", "");
    const ranks = Object.fromEntries(down.map(([name, { shape }]) => [path(name), shape[0]]));
    return { ranks, modules_to_save: config.modulesToSave, keys: short(tensors.keys()) };
  },
} as const;
