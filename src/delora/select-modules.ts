import { compilePattern } from "./regex/index.ts";

/** The settings that say which modules are adapted, as in PEFT. Strings are regular expressions. */
export interface ModuleSelection {
  readonly targetModules: readonly string[] | string;
  readonly excludeModules: readonly string[] | string | null;
  readonly modulesToSave: readonly string[] | null;
  readonly layersToTransform: readonly number[] | number | null;
  readonly layersPattern: readonly string[] | string | null;
}

/** What a selection makes of one module. */
export type ModuleVerdict = "target" | "excluded" | "unmatched";

/** From this many entries on, PEFT condenses a list of targets. */
const CONDENSED_FROM = 20;

/**
 * PEFT's rule for one module name after another. Exclusion comes first, and of what is saved in full; an exact name
 * in a list is a target whatever its layer.
 *
 * @throws PatternError for a regular expression that is wrong or refused
 */
export function moduleSelector(selection: ModuleSelection): (path: string) => ModuleVerdict {
  const { targetModules, excludeModules, modulesToSave } = selection;
  const isExcluded = excludeModules?.length ? nameMatcher(excludeModules) : (): boolean => false;
  const saved = (modulesToSave ?? []).map((name) => compilePattern(`(^|.*\\.)${name}($|\\..*)`));
  const isTarget = nameMatcher(targetModules);
  const isInLayer = layerMatcher(selection);
  return (path) => {
    if (isExcluded(path) || saved.some((pattern) => pattern.match(path))) return "excluded";
    if (!isTarget(path)) return "unmatched";
    const isExact = typeof targetModules === "string" || targetModules.includes(path);
    return isExact || isInLayer(path) ? "target" : "unmatched";
  };
}

/**
 * The value of the first key, a regular expression for the last parts of a name, that matches `path`.
 *
 * @throws PatternError
 */
export function patternValue(patterns: Readonly<Record<string, number>>): (path: string) => number | undefined {
  const keys = Object.entries(patterns).map(
    ([key, value]) => [compilePattern(keyPattern(key)), value] as const,
  );
  return (path) => keys.find(([key]) => key.match(path))?.[1];
}

/** The keys of a pattern that match none of the names. @throws PatternError */
export const unmatchedPatterns = (keys: readonly string[], names: readonly string[]): string[] =>
  keys.filter((key) => !names.some(compilePattern(keyPattern(key)).match));

const keyPattern = (key: string): string => `(.*\\.)?(${key})$`;

/**
 * A list of 20 targets or more, condensed to the shortest suffixes that tell them from the model's other
 * modules; shorter lists as they are.
 */
export function condenseTargets(targets: readonly string[], names: readonly string[]): readonly string[] {
  if (targets.length < CONDENSED_FROM) return targets;
  const isTarget = nameMatcher(targets);
  const others = new Set(names.filter((name) => !isTarget(name)).flatMap(suffixesOf));
  const required = new Set<string>();
  const covered = (name: string): boolean => suffixesOf(name).slice(0, -1).some((suffix) => required.has(suffix));
  for (const suffixes of targets.map(suffixesOf).sort(compareLists)) {
    const name = suffixes[suffixes.length - 1];
    if (covered(name)) continue;
    const suffix = suffixes.find((candidate) => !required.has(candidate) && !others.has(candidate));
    if (suffix !== undefined) required.add(suffix);
  }
  return required.size > 0 && required.size < targets.length ? [...required] : targets;
}

function nameMatcher(names: readonly string[] | string): (path: string) => boolean {
  if (typeof names === "string") {
    const pattern = compilePattern(names);
    return (path) => pattern.fullmatch(path);
  }
  return (path) => names.some((name) => path === name || path.endsWith(`.${name}`));
}

function layerMatcher({ layersToTransform, layersPattern }: ModuleSelection): (path: string) => boolean {
  if (layersToTransform === null) return () => true;
  const layers = typeof layersToTransform === "number" ? [layersToTransform] : layersToTransform;
  if (layers.length === 0) return () => true;
  const given = typeof layersPattern === "string" ? [layersPattern] : (layersPattern ?? []);
  const named = given.map((pattern) => `(?:^|.*?\\.)${pattern}\\.(?P<idx>\\d+)\\.`);
  const isAny = layersPattern === null || layersPattern.length === 0;
  const patterns = (isAny ? [".*?\\.[^.]*\\.(?P<idx>\\d+)\\."] : named).map(compilePattern);
  return (path) => {
    const index = patterns.find((pattern) => pattern.match(path))?.matchGroup(path, "idx");
    return typeof index === "string" && layers.includes(Number(index));
  };
}

/** The last part of a name, the last two, and so on up to all of it. */
function suffixesOf(name: string): string[] {
  const parts = name.split(".");
  return parts.map((_, i) => parts.slice(parts.length - 1 - i).join("."));
}

function compareLists(a: readonly string[], b: readonly string[]): number {
  const i = a.findIndex((item, index) => item !== b[index]);
  if (i < 0) return a.length - b.length;
  return b[i] === undefined || a[i] > b[i] ? 1 : -1;
}
