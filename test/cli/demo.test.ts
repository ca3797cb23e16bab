import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { embeddedModel } from "../../src/cli/base-model.ts";
import { mobyDickText, sotuTexts } from "../../src/cli/demo-texts.ts";
import { polargrad, temporaryDirectory } from "./tiny-model.ts";

const paragraphs = (text: string): string[] => text.split("\n\n");
const CONTROL = /[^\P{Cc}\n]/u;

describe("the demo's texts", () => {
  it("are Moby-Dick's chapters", () => {
    const text = mobyDickText();
    expect(paragraphs(text)).toHaveLength(136);
    expect(text.startsWith("Call me Ishmael.")).toBe(true);
    expect(CONTROL.test(text)).toBe(false);
  });

  it("and the addresses, of which the last ten are held out", () => {
    const { train, heldOut } = sotuTexts();
    expect([paragraphs(train).length, paragraphs(heldOut).length]).toEqual([223, 10]);
    expect(train).toContain("Fellow-Citizens of the Senate");
    expect(heldOut).toContain("Madam Vice President");
    expect(CONTROL.test(train + heldOut)).toBe(false);
  });
});

describe("the demo", () => {
  it("runs without a model and data named, and measures adaptation and forgetting", async () => {
    const dir = join(temporaryDirectory(), "adapter");
    expect(existsSync(join(embeddedModel(), "model.safetensors"))).toBe(true);
    const { code, out, err } = await polargrad(
      "finetune",
      "--device",
      "cpu",
      "--max_steps",
      "2",
      "--val_set_size",
      "8",
      "--output_dir",
      dir,
    );
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/held-out loss +\d\.\d{4} before, \d\.\d{4} after \(8 rows\)/);
    expect(out).toMatch(/forgetting +\d\.\d{4} before, \d\.\d{4} after/);
    expect(out).toMatch(/sample before: .+[\s\S]*sample after: .+/);
    expect(out).toContain(`polargrad generate --adapter ${dir}`);
    expect(readdirSync(dir)).toContain("adapter_model.safetensors");
  });
});
