import type { FileHandle } from "node:fs/promises";
import { PolargradError } from "../tensor/errors.ts";
import { quote } from "./quote.ts";

// Node's modules are imported inside the functions, so that a browser can load what touches no files.

/** Why a file could not be used. */
export type FileErrorCode =
  | "missing"
  | "not-a-file"
  | "not-a-directory"
  | "not-utf8"
  | "not-json"
  | "bad-name"
  | "failed";

/**
 * A file that is missing, unreadable, unwritable, or not of the kind expected. `cause` is Node's error, if
 * any.
 */
export class FileError extends PolargradError {
  override readonly name = "FileError";
  readonly code: FileErrorCode;
  readonly file: string;

  constructor(code: FileErrorCode, file: string, why: string, cause?: unknown) {
    super(`${file}: ${why}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.file = file;
  }
}

const READ_CHUNK = 1 << 28; // one read call may not exceed 2 GiB

/**
 * `name` inside the directory `dir`. `name` is trusted; for one that came from a file, see `plainFileName`.
 */
export function joinPath(dir: string, name: string): string {
  return /[/\\]$/.test(dir) ? `${dir}${name}` : `${dir}/${name}`;
}

/** The last part of a path. */
export function baseName(path: string): string {
  return path.replace(/[/\\]+$/, "").replace(/^.*[/\\]/, "");
}

/**
 * `name` if it is the plain name of a file: letters, digits, `.`, `_`, `-`, not beginning with a dot, at most
 * 200 characters, and no device of Windows. Such a name cannot lead out of its directory on any system.
 *
 * @throws FileError (`bad-name`) that names `source`, the file that asked for `name`
 */
export function plainFileName(name: string, source: string): string {
  const isPlain = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/.test(name) && !name.endsWith(".");
  if (isPlain && !/^(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)/i.test(name)) return name;
  const why = `refuses the file name ${quote(name)}: only plain names inside the same directory are allowed`;
  throw new FileError("bad-name", source, why);
}

/**
 * Refuse the file `name` of `dir` if it is a link that leads out of `dir`. The links of a Hugging Face cache,
 * which lead from `snapshots/<revision>` to `blobs` beside it, are allowed.
 *
 * @throws FileError (`bad-name`) that names `source`, the file that asked for `name`
 */
export async function refuseLinkOutside(dir: string, name: string, source: string): Promise<void> {
  const { realpath } = await import("node:fs/promises");
  const { basename, dirname, resolve } = await import("node:path");
  const path = joinPath(dir, name);
  try {
    const parent = dirname(await realpath(path));
    const cache = dirname(resolve(dir));
    const blobs = joinPath(dirname(cache), "blobs");
    if (parent === (await realpath(dir))) return;
    if (basename(cache) === "snapshots" && (await exists(blobs)) && parent === (await realpath(blobs))) {
      return;
    }
  } catch (cause) {
    throw readFailure(path, `a file that ${baseName(source)} names`, cause);
  }
  const why = `refuses ${quote(name)}: it is a link that leads out of the directory`;
  throw new FileError("bad-name", source, why);
}

/** True if there is a file or directory at `path`. Any problem other than absence is an error. */
export async function exists(path: string): Promise<boolean> {
  const { stat } = await import("node:fs/promises");
  try {
    await stat(path);
    return true;
  } catch (cause) {
    if (hasCode(cause, "ENOENT") || hasCode(cause, "ENOTDIR")) return false;
    throw readFailure(path, "a file or directory", cause);
  }
}

/**
 * All bytes of a file of any size. `what` is what the file should be, for the error: "a tokenizer
 * (tokenizer.json)".
 */
export async function readBytes(path: string, what = "a file"): Promise<Uint8Array> {
  const { stat } = await import("node:fs/promises");
  try {
    if (!(await stat(path)).isFile()) {
      throw new FileError("not-a-file", path, `expected ${what}, found something that is no regular file`);
    }
    return await withFile(path, "r", async (file) => {
      const bytes = new Uint8Array((await file.stat()).size);
      let at = 0;
      while (at < bytes.length) {
        const { bytesRead } = await file.read(bytes, at, Math.min(READ_CHUNK, bytes.length - at), at);
        if (bytesRead === 0) {
          throw new FileError("failed", path, `shrank from ${bytes.length} to ${at} bytes while it was read`);
        }
        at += bytesRead;
      }
      return bytes;
    });
  } catch (cause) {
    throw readFailure(path, what, cause);
  }
}

/** The text of a UTF-8 file, without a byte-order mark. */
export async function readText(path: string, what = "a text file"): Promise<string> {
  const bytes = await readBytes(path, what);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FileError("not-utf8", path, `expected ${what}, found bytes that are not valid UTF-8`, cause);
  }
}

/** The value of a JSON file, not yet validated. */
export async function readJson(path: string, what = "a JSON file"): Promise<unknown> {
  return parseJson(await readText(path, what), path, what);
}

/** Parse JSON text that was read from `path`. */
export function parseJson(text: string, path: string, what = "a JSON file"): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new FileError("not-json", path, `expected ${what}, but it is not valid JSON: ${quote(why)}`, cause);
  }
}

/**
 * Write a file so that a crash at any moment leaves either the old or the new one, whole: a temporary file in
 * the same directory is written, synced and renamed. On failure it is removed. The directory must exist.
 */
export async function writeFileAtomic(path: string, content: Uint8Array | string): Promise<void> {
  const { rename } = await import("node:fs/promises");
  const { dirname } = await import("node:path");
  const temporary = joinPath(dirname(path), `.${baseName(path)}.${crypto.randomUUID()}.tmp`);
  try {
    await writeSynced(temporary, content);
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (cause) {
    throw await undo(temporary, path, cause);
  }
}

/**
 * Write several files of one directory. All are written and synced in a staging directory first. If `dir`
 * does not exist, the staging directory becomes it in one rename; else each file is renamed into it, in the
 * order of the map, and files that are already there under other names stay. On failure the staging directory
 * is removed.
 */
export async function writeDirectoryFiles(
  dir: string,
  files: ReadonlyMap<string, Uint8Array | string>,
): Promise<void> {
  const { mkdir, rename, rm } = await import("node:fs/promises");
  const { dirname, resolve } = await import("node:path");
  const target = resolve(dir);
  for (const name of files.keys()) plainFileName(name, dir);
  const isNew = !(await exists(target));
  if (!isNew) await checkWritableTarget(target, files.keys());
  const staging = isNew
    ? `${target}.${crypto.randomUUID()}.tmp`
    : joinPath(target, `.${crypto.randomUUID()}.tmp`);
  try {
    await mkdir(staging, { recursive: true });
    for (const [name, content] of files) await writeSynced(joinPath(staging, name), content);
    await syncDirectory(staging);
    if (isNew && (await becomes(staging, target))) {
      await syncDirectory(dirname(target));
    } else {
      for (const name of files.keys()) await rename(joinPath(staging, name), joinPath(target, name));
      await rm(staging, { recursive: true });
      await syncDirectory(target);
    }
  } catch (cause) {
    throw await undo(staging, dir, cause);
  }
}

/** Rename the directory `staging` to `target`; false if another process has filled `target` meanwhile. */
async function becomes(staging: string, target: string): Promise<boolean> {
  const { rename } = await import("node:fs/promises");
  try {
    await rename(staging, target);
    return true;
  } catch (cause) {
    if (hasCode(cause, "ENOTEMPTY") || hasCode(cause, "EEXIST")) return false;
    throw cause;
  }
}

/**
 * Find out before anything is written whether `target` is a directory and no name in it is taken by a
 * directory.
 */
async function checkWritableTarget(target: string, names: Iterable<string>): Promise<void> {
  const { stat } = await import("node:fs/promises");
  if (!(await stat(target)).isDirectory()) {
    throw new FileError("not-a-directory", target, "should be a directory to write into, found a file");
  }
  for (const name of names) {
    const path = joinPath(target, name);
    if ((await exists(path)) && !(await stat(path)).isFile()) {
      throw new FileError(
        "not-a-file",
        path,
        "cannot be written: there is something that is no regular file",
      );
    }
  }
}

async function writeSynced(path: string, content: Uint8Array | string): Promise<void> {
  await withFile(path, "wx", async (file) => {
    await file.writeFile(content);
    await file.sync();
  });
}

/** Make renames in `dir` durable. Windows and some network file systems have no way to ask for it. */
async function syncDirectory(dir: string): Promise<void> {
  if (process.platform === "win32") return;
  try {
    await withFile(dir, "r", (handle) => handle.sync());
  } catch (cause) {
    if (!hasCode(cause, "EINVAL") && !hasCode(cause, "ENOTSUP")) throw cause;
  }
}

async function withFile<T>(path: string, flags: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const { open } = await import("node:fs/promises");
  const file = await open(path, flags);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

function readFailure(path: string, what: string, cause: unknown): FileError {
  if (cause instanceof FileError) return cause;
  if (hasCode(cause, "ENOENT")) {
    return new FileError("missing", path, `no such file; expected ${what}`, cause);
  }
  const why = cause instanceof Error ? cause.message : String(cause);
  return new FileError("failed", path, `cannot be read (expected ${what}): ${why}`, cause);
}

/** Remove what a failed write left in `temporary`; gives the error to throw. */
async function undo(temporary: string, path: string, cause: unknown): Promise<FileError> {
  const { rm } = await import("node:fs/promises");
  let leftover = "";
  try {
    await rm(temporary, { recursive: true, force: true });
  } catch (error) {
    if (!hasCode(error, "ENOTDIR")) leftover = `; ${temporary} could not be removed`;
  }
  if (cause instanceof FileError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new FileError("failed", path, `cannot be written: ${why}${leftover}`, cause);
}
