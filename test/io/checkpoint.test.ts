import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  CheckpointError,
  readCheckpoint,
  SafetensorsError,
  serializeSafetensors,
} from "../../src/io/index.ts";

let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "polargrad-checkpoint-"));
});
afterEach(() => rm(dir, { recursive: true }));

const weights = (...names: string[]): Uint8Array =>
  serializeSafetensors(
    names.map((name) => [name, { dtype: "F32", shape: [2], data: new Float32Array([1, 2]) }]),
  );

const writeIndex = (weightMap: unknown): Promise<void> =>
  writeFile(
    join(dir, "model.safetensors.index.json"),
    JSON.stringify({ metadata: { total_size: 16 }, weight_map: weightMap }),
  );

const failure = (): Promise<unknown> =>
  readCheckpoint(dir).then(
    () => null,
    (error: unknown) => error,
  );

describe("readCheckpoint", () => {
  it("reads model.safetensors", async () => {
    await writeFile(join(dir, "model.safetensors"), weights("a", "b"));
    expect([...(await readCheckpoint(dir)).tensors.keys()]).toEqual(["a", "b"]);
  });

  it("reads shards", async () => {
    await writeFile(join(dir, "s1.safetensors"), weights("a"));
    await writeFile(join(dir, "s2.safetensors"), weights("__proto__", "c"));
    const map = '{"a":"s1.safetensors","__proto__":"s2.safetensors","c":"s2.safetensors"}';
    await writeFile(join(dir, "model.safetensors.index.json"), `{"weight_map":${map}}`);
    expect([...(await readCheckpoint(dir)).tensors.keys()].sort()).toEqual(["__proto__", "a", "c"]);
  });

  const s = "s.safetensors";
  const t = "t.safetensors";
  it.each([
    ["a tensor that its shard does not hold", { a: s, t, b: s }, 'expects tensor "b" in s.safetensors'],
    ["a shard's tensor that the index does not list", { t, b: s }, 'holds tensor "a", but'],
    ["a tensor in another shard", { a: t, t, b: s }, 'holds tensor "a", but'],
  ])("refuses %s", async (_, map, message) => {
    await writeFile(join(dir, s), weights("a"));
    await writeFile(join(dir, t), weights("t"));
    await writeIndex(map);
    const error = await failure();
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error).toMatchObject({ code: "index-mismatch" });
    expect((error as Error).message).toContain(message);
  });

  it.each([
    "../victim.safetensors",
    "/etc/x.safetensors",
    "..\\x.safetensors",
    "C:\\x.safetensors",
    "a\0.safetensors",
    "%2e%2e.safetensors",
  ])("refuses the shard name %j before it opens anything", async (name) => {
    await writeIndex({ a: "absent.safetensors", b: name });
    expect(await failure()).toMatchObject({
      code: "bad-name",
      file: join(dir, "model.safetensors.index.json"),
    });
  });

  it("refuses a shard that is a link out of the directory, a pickle, or missing", async () => {
    await mkdir(join(dir, "model"));
    await writeFile(join(dir, "secret.safetensors"), weights("a"));
    await symlink("../secret.safetensors", join(dir, "model", "link.safetensors"));
    const index = join(dir, "model", "model.safetensors.index.json");
    const read = async (name: string): Promise<unknown> => {
      await writeFile(index, JSON.stringify({ weight_map: { a: name } }));
      return readCheckpoint(join(dir, "model")).catch((error: unknown) => error);
    };
    expect(await read("link.safetensors")).toMatchObject({ code: "bad-name" });
    expect(await read("pytorch_model.bin")).toMatchObject({ code: "bad-index" });
    expect(await read("none.safetensors")).toMatchObject({ code: "missing" });
  });

  it("follows the links of a Hugging Face cache", async () => {
    const snapshot = join(dir, "snapshots", "abc");
    await mkdir(snapshot, { recursive: true });
    await mkdir(join(dir, "blobs"));
    await writeFile(join(dir, "blobs", "0f"), weights("a"));
    await symlink("../../blobs/0f", join(snapshot, "s.safetensors"));
    await writeFile(join(snapshot, "model.safetensors.index.json"), '{"weight_map":{"a":"s.safetensors"}}');
    expect([...(await readCheckpoint(snapshot)).tensors.keys()]).toEqual(["a"]);
  });

  it.each([[null], [[]], [{ weight_map: [] }], [{ weight_map: { a: 1 } }]])(
    "refuses the index %j",
    async (index) => {
      await writeFile(join(dir, "model.safetensors.index.json"), JSON.stringify(index));
      expect(await failure()).toMatchObject({ code: "bad-index" });
    },
  );

  it("says in one sentence how much of a truncated file is there", async () => {
    const path = join(dir, "model.safetensors");
    const bytes = weights("a", "b");
    await writeFile(path, bytes.subarray(0, -3));
    const error = await failure();
    expect(error).toBeInstanceOf(SafetensorsError);
    expect((error as SafetensorsError).message).toBe(
      `${path}: the file is truncated: its header describes ${bytes.length} bytes, found ${bytes.length - 3}`,
    );
    expect(error).toMatchObject({
      code: "data-truncated",
      file: path,
      expected: `${bytes.length}`,
      got: bytes.length - 3,
    });
  });

  it("refuses pickles by name and by content, with advice", async () => {
    await writeFile(join(dir, "pytorch_model.bin"), "x");
    expect(await failure()).toMatchObject({ code: "pickle", file: join(dir, "pytorch_model.bin") });
    for (const magic of [
      [0x50, 0x4b, 3, 4],
      [0x80, 2, 0x8a, 0x0a],
    ]) {
      await writeFile(
        join(dir, "model.safetensors"),
        Uint8Array.from([...magic, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20]),
      );
      const error = await failure();
      expect(error).toMatchObject({ code: "pickle" });
      expect((error as Error).message).toContain("save_pretrained(dir, safe_serialization=True)");
    }
  });

  it("names a directory without weights, and one that is not there", async () => {
    expect(await failure()).toMatchObject({ code: "missing", file: dir });
    const absent = join(dir, "absent");
    await expect(readCheckpoint(absent)).rejects.toThrow(
      `${absent}: expected a checkpoint directory, but no such directory`,
    );
    await writeFile(join(dir, "file"), "x");
    await expect(readCheckpoint(join(dir, "file"))).rejects.toThrow(CheckpointError);
  });
});
