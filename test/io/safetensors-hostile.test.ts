import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseSafetensors, SafetensorsError, serializeSafetensors } from "../../src/io/index.ts";
import { sharedPath } from "../shared.ts";

interface Case {
  readonly name: string;
  readonly ref: "accept" | "reject";
  readonly b64: string | null;
}

/**
 * Cases that the reference accepts and this library refuses: the list of `parseSafetensors`' documentation.
 */
const STRICTER = new Set(["leading space", "name NUL", "name newline", "name ansi"]);

const goldens = sharedPath("goldens/safetensors-hostile.json");

describe("the verdicts of safetensors 0.8.0", () => {
  it.skipIf(goldens === null)("hold for every hostile file (needs ../shared/goldens)", () => {
    const { cases } = JSON.parse(readFileSync(goldens ?? "", "utf8")) as { cases: Case[] };
    const inline = cases.filter(({ b64 }) => b64 !== null);
    expect(inline.length).toBeGreaterThan(75);
    for (const { name, ref, b64 } of inline) {
      const expected = STRICTER.has(name) ? "reject" : ref;
      expect([name, verdict(Buffer.from(b64 ?? "", "base64"))]).toEqual([name, expected]);
    }
  });

  for (const relative of [
    "goldens/stories260K-f64.safetensors",
    "models/stories260K/model.safetensors",
    "goldens/peft-stories260K/adapter/adapter_model.safetensors",
    "goldens/peft-tiny/golden.safetensors",
  ]) {
    const path = sharedPath(relative);
    it.skipIf(path === null)(`${relative}, written by the reference, is written back byte for byte`, () => {
      const bytes = new Uint8Array(readFileSync(path ?? ""));
      const { tensors, metadata } = parseSafetensors(bytes);
      expect(Buffer.compare(serializeSafetensors(tensors, metadata), bytes)).toBe(0);
    });
  }
});

function verdict(bytes: Uint8Array): "accept" | "reject" {
  try {
    parseSafetensors(bytes);
    return "accept";
  } catch (error) {
    if (error instanceof SafetensorsError) return "reject";
    throw error;
  }
}
