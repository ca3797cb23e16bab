import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  exists,
  FileError,
  plainFileName,
  readBytes,
  readJson,
  readText,
  writeDirectoryFiles,
  writeFileAtomic,
} from "../../src/io/index.ts";

let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "polargrad-files-"));
});
afterEach(() => rm(dir, { recursive: true }));

async function failure(action: Promise<unknown>): Promise<FileError> {
  const error: unknown = await action.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof FileError) return error;
  throw new Error("expected a FileError", { cause: error });
}

describe("reading", () => {
  it("gives bytes, text without a byte-order mark, and JSON", async () => {
    await writeFile(join(dir, "a.json"), '\ufeff{"a":1}');
    expect((await readBytes(join(dir, "a.json"))).length).toBe(10);
    expect(await readText(join(dir, "a.json"))).toBe('{"a":1}');
    expect(await readJson(join(dir, "a.json"))).toEqual({ a: 1 });
    expect(await exists(join(dir, "a.json"))).toBe(true);
    expect(await exists(join(dir, "a.json", "b"))).toBe(false);
    expect(await exists(join(dir, "b"))).toBe(false);
  });

  it("names a missing file and what was expected", async () => {
    const path = join(dir, "config.json");
    const error = await failure(readJson(path, "a model configuration"));
    expect(error.message).toBe(`${path}: no such file; expected a model configuration`);
    expect(error).toMatchObject({ code: "missing", file: path });
  });

  it("names the file whose JSON or UTF-8 is broken", async () => {
    const path = join(dir, "x.json");
    await writeFile(path, '{"a":}');
    expect(await failure(readJson(path))).toMatchObject({ code: "not-json", file: path });
    await writeFile(path, Uint8Array.of(0xff));
    expect(await failure(readJson(path))).toMatchObject({ code: "not-utf8", file: path });
  });

  it("refuses a directory and a device", async () => {
    expect(await failure(readBytes(dir))).toMatchObject({ code: "not-a-file", file: dir });
    if (process.platform === "linux") expect((await failure(readBytes("/dev/zero"))).code).toBe("not-a-file");
  });
});

describe("plainFileName", () => {
  it.each([
    "",
    ".",
    "..",
    "../x",
    "a/../../x",
    "/etc/passwd",
    "a/b",
    "\\\\host\\share",
    "..\\x",
    "C:\\x",
    "C:x",
    "a\0b",
    "%2e%2e%2fx",
    "a%00",
    "x\n",
    " x",
    "~",
    "~root",
    "file:///x",
    "é.bin",
    "a\u202eb",
    "nul",
    "CON.safetensors",
    "lpt1.x",
    "x.",
    ".hidden",
    "x".repeat(4096),
    "a:b",
    "a*",
    "a b",
    "$HOME",
    "`x`",
  ])("refuses %j", (name) => {
    expect(() => plainFileName(name, "index.json")).toThrow(/^index\.json: refuses the file name \P{Cc}*$/u);
  });

  it.each(["model-00001-of-00002.safetensors", "README.md", "a", "_x.y-z"])("accepts %j", (name) => {
    expect(plainFileName(name, "index.json")).toBe(name);
  });
});

describe("writeFileAtomic", () => {
  it("writes and replaces, and leaves nothing else behind", async () => {
    await writeFileAtomic(join(dir, "a"), "one");
    await writeFileAtomic(join(dir, "a"), Uint8Array.of(50));
    expect(await readText(join(dir, "a"))).toBe("2");
    expect(await readdir(dir)).toEqual(["a"]);
  });

  it("removes its temporary file when the rename fails", async () => {
    await mkdir(join(dir, "a"));
    expect((await failure(writeFileAtomic(join(dir, "a"), "one"))).message).toContain(
      `${join(dir, "a")}: cannot be written`,
    );
    expect(await readdir(dir)).toEqual(["a"]);
  });

  it("says which path cannot be written when its directory is missing", async () => {
    const path = join(dir, "no", "a");
    expect(await failure(writeFileAtomic(path, "one"))).toMatchObject({ code: "failed", file: path });
  });
});

describe("writeDirectoryFiles", () => {
  const files = new Map<string, string | Uint8Array>([
    ["a.json", "{}"],
    ["b.bin", Uint8Array.of(1, 2)],
  ]);

  it("makes a new directory, parents included", async () => {
    const target = join(dir, "x", "y");
    await writeDirectoryFiles(target, files);
    expect((await readdir(target)).sort()).toEqual(["a.json", "b.bin"]);
    expect(await readdir(join(dir, "x"))).toEqual(["y"]);
    expect([...(await readFile(join(target, "b.bin")))]).toEqual([1, 2]);
  });

  it("lets several write the same new directory at once", async () => {
    const target = join(dir, "together");
    await Promise.all(Array.from({ length: 8 }, () => writeDirectoryFiles(target, files)));
    expect((await readdir(target)).sort()).toEqual(["a.json", "b.bin"]);
    expect((await readdir(dir)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it("replaces files of an old directory and keeps the others", async () => {
    await writeFile(join(dir, "a.json"), "old");
    await writeFile(join(dir, "keep"), "old");
    await writeDirectoryFiles(`${dir}/`, files);
    expect((await readdir(dir)).sort()).toEqual(["a.json", "b.bin", "keep"]);
    expect(await readText(join(dir, "a.json"))).toBe("{}");
  });

  it("changes nothing when a name is not plain, or taken by a directory", async () => {
    await mkdir(join(dir, "b.bin"));
    expect((await failure(writeDirectoryFiles(dir, files))).code).toBe("not-a-file");
    expect(
      (
        await failure(
          writeDirectoryFiles(
            dir,
            new Map([
              ["a", "x"],
              ["../b", "x"],
            ]),
          ),
        )
      ).code,
    ).toBe("bad-name");
    expect(await readdir(dir)).toEqual(["b.bin"]);
  });

  it("refuses a target that is a file, and leaves no staging directory when the parent is one", async () => {
    const path = join(dir, "file");
    await writeFile(path, "x");
    expect((await failure(writeDirectoryFiles(path, files))).code).toBe("not-a-directory");
    expect((await failure(writeDirectoryFiles(join(path, "sub"), files))).code).toBe("failed");
    expect(await readdir(dir)).toEqual(["file"]);
  });

  it("writes through a link to a directory", async () => {
    await mkdir(join(dir, "real"));
    await symlink(join(dir, "real"), join(dir, "link"));
    await writeDirectoryFiles(join(dir, "link"), files);
    expect((await readdir(join(dir, "real"))).sort()).toEqual(["a.json", "b.bin"]);
  });
});
