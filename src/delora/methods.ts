import type { ConfigClass } from "./peft-config.ts";

const methods = new Map<string, ConfigClass>();

/**
 * Make a method known by its `peft_type`, so that its adapters can be loaded. A method's own file calls it, one
 * of yours too: a config class with its `schema` and `createLayer`, and a layer class.
 */
export function registerMethod(method: ConfigClass): void {
  methods.set(method.schema.peftType, method);
}

/** The config class of a `peft_type`; undefined for one that nobody registered. */
export const methodOf = (peftType: string): ConfigClass | undefined => methods.get(peftType);

/** The `peft_type`s that can be loaded. */
export const methodNames = (): string[] => [...methods.keys()];
