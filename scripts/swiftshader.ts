// Unpacks the software Vulkan driver SwiftShader from npm's @sparticuz/chromium and prints its directory, for
// POLARGRAD_VULKAN_DIR: with it WebGPU runs on a Linux machine that has no Vulkan at all.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync } from "node:zlib";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const PACKAGE = join(ROOT, "node_modules", "@sparticuz", "chromium");
const WANTED = new Set(["libvk_swiftshader.so", "libvulkan.so.1", "vk_swiftshader_icd.json"]);
const BLOCK = 512;

interface TarEntry {
  readonly name: string;
  readonly content: Uint8Array;
}

/** The regular files of a tar archive (ustar headers, no long names). */
export function* tarEntries(tar: Uint8Array): Generator<TarEntry> {
  const text = (start: number, length: number) =>
    new TextDecoder().decode(tar.subarray(start, start + length)).replace(/\0.*$/s, "");
  for (let offset = 0; offset + BLOCK <= tar.length && tar[offset] !== 0; ) {
    const size = Number.parseInt(text(offset + 124, 12), 8);
    if (Number.isNaN(size)) throw new Error(`tar: the header at byte ${offset} has no size`);
    const start = offset + BLOCK;
    yield { name: text(offset, 100), content: tar.subarray(start, start + size) };
    offset = start + Math.ceil(size / BLOCK) * BLOCK;
  }
}

/** The directory with SwiftShader's driver, its ICD file and a Vulkan loader; unpacked on the first call. */
export function unpackSwiftShader(): string {
  const { version } = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")) as { version: string };
  const cache = join(ROOT, ".cache", "swiftshader");
  const target = join(cache, version);
  if (existsSync(target)) return target;
  mkdirSync(cache, { recursive: true });
  const staging = mkdtempSync(join(cache, "unpacking-"));
  const archive = brotliDecompressSync(readFileSync(join(PACKAGE, "bin", "swiftshader.tar.br")));
  for (const { name, content } of tarEntries(archive)) {
    if (WANTED.has(name)) writeFileSync(join(staging, name), content, { mode: 0o755 });
  }
  const missing = [...WANTED].filter((name) => !existsSync(join(staging, name)));
  if (missing.length > 0)
    throw new Error(`swiftshader.tar.br of @sparticuz/chromium ${version} lacks ${missing.join(", ")}`);
  try {
    renameSync(staging, target);
  } catch (error) {
    // Another process was faster: its directory is as good.
    rmSync(staging, { recursive: true });
    if (!existsSync(target)) throw error;
  }
  return target;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(unpackSwiftShader());
