import { setImmediate } from "node:timers/promises";
import type { Tokenizer } from "../io/index.ts";
import { generate, type GenerateOptions, type GenerationModel } from "../nn/index.ts";
import { harmless } from "./terminal.ts";

/** A character whose bytes are spread over tokens decodes to U+FFFD until the last of them is there. */
const INCOMPLETE = /\ufffd+$/;

/**
 * Continue a text.
 *
 * @param write receives the new text piece by piece, without characters that could steer a terminal
 * @returns the new text
 */
export async function continueText(
  model: GenerationModel,
  tokenizer: Tokenizer,
  prompt: string,
  options: GenerateOptions,
  write: (piece: string) => void = () => {},
): Promise<string> {
  const ids = tokenizer.encode(prompt);
  const start = tokenizer.decode(ids).length;
  let shown = start;
  const show = (upTo: string): void => {
    if (upTo.length <= shown) return;
    write(harmless(upTo.slice(shown)));
    shown = upTo.length;
  };
  const onToken = async (id: number): Promise<void> => {
    ids.push(id);
    show(tokenizer.decode(ids).replace(INCOMPLETE, ""));
    await setImmediate();
  };
  await generate(model, [...ids], { ...options, onToken });
  const text = tokenizer.decode(ids);
  show(text);
  return harmless(text.slice(start));
}
