import { Command } from "commander";
import { type Flags, normaliseArgs, optionsOf } from "./args.ts";
import { convert, CONVERT_FLAGS, CONVERT_NOTES } from "./convert.ts";
import { doctor, DOCTOR_FLAGS } from "./doctor.ts";
import { reportError } from "./errors.ts";
import { finetune } from "./finetune.ts";
import { DEFAULTS, FINETUNE_FLAGS, FINETUNE_NOTES } from "./finetune-flags.ts";
import { generate, GENERATE_FLAGS } from "./generate.ts";
import { inspect, INSPECT_FLAGS, INSPECT_NOTES } from "./inspect.ts";
import { merge, MERGE_FLAGS } from "./merge.ts";
import { packageVersion } from "./package-version.ts";
import type { Terminal } from "./terminal.ts";

/** A command with its flags. `run` gets what was given, read by the flags' own parsers. */
interface Entry {
  readonly flags: Flags;
  readonly summary: string;
  readonly notes: string;
  /** What stands behind the command's name; `run` gets it as `path`. */
  readonly path?: { readonly name: string; readonly help: string };
  /** Shown in the help beside the flags. */
  readonly defaults: Readonly<Record<string, unknown>>;
  run(given: Record<string, unknown>, terminal: Terminal): Promise<unknown>;
}

const GENERATE_NOTES = `
Greedy unless --do_sample, --temperature, --top_k or --top_p is given. Flags may be written with - in place of _.
`;

const COMMANDS: Readonly<Record<string, Entry>> = {
  finetune: {
    flags: FINETUNE_FLAGS,
    summary: "fine-tune a Llama with a DeLoRA adapter (without flags: a demo)",
    notes: FINETUNE_NOTES,
    defaults: DEFAULTS,
    run: finetune,
  },
  generate: {
    flags: GENERATE_FLAGS,
    summary: "continue a text",
    notes: GENERATE_NOTES,
    defaults: {},
    run: generate,
  },
  convert: {
    flags: CONVERT_FLAGS,
    summary: "write a DeLoRA adapter as a LoRA adapter",
    notes: CONVERT_NOTES,
    defaults: {},
    path: { name: "adapter", help: "directory of the adapter" },
    run: convert,
  },
  inspect: {
    flags: INSPECT_FLAGS,
    summary: "tell what is in an adapter, or in a Llama",
    notes: INSPECT_NOTES,
    defaults: {},
    path: { name: "dir", help: "directory of an adapter or of a Llama" },
    run: inspect,
  },
  merge: {
    flags: MERGE_FLAGS,
    summary: "write a Llama with an adapter merged into its weights",
    notes: "",
    defaults: {},
    path: { name: "adapter", help: "directory of the adapter" },
    run: merge,
  },
  doctor: {
    flags: DOCTOR_FLAGS,
    summary: "look for a GPU, and check that every kernel computes right on it and on the CPU",
    notes: "",
    defaults: {},
    run: doctor,
  },
};

/**
 * Run a command line.
 *
 * @param args what stands behind `polargrad`
 * @param writeError receives lines for standard error
 * @returns the exit code
 */
export async function runCommand(
  args: readonly string[],
  terminal: Terminal,
  writeError: (line: string) => void,
): Promise<number> {
  const [name = ""] = args;
  const flags = Object.hasOwn(COMMANDS, name) ? COMMANDS[name].flags : {};
  let code = 0;
  const program = makeProgram(terminal, writeError, (result) => {
    code = result;
  });
  try {
    await program.parseAsync(
      [name, ...normaliseArgs(args.slice(1), flags)].filter((arg, i) => i > 0 || arg !== ""),
      { from: "user" },
    );
    return code;
  } catch (error) {
    return reportError(error, Object.keys(flags), writeError);
  }
}

function makeProgram(
  terminal: Terminal,
  writeError: (line: string) => void,
  finish: (code: number) => void,
): Command {
  const program = new Command("polargrad");
  program
    .description("Fine-tune Llama models with DeLoRA adapters, on WebGPU or on the CPU.")
    .version(packageVersion(), "--version")
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.write(text),
      writeErr: (text) => writeError(text.trimEnd()),
      outputError: (text, write) =>
        write(
          text
            .replace(/^error: /, "polargrad: ")
            .trimEnd()
            .replaceAll("\n", " "),
        ),
    });
  for (const [name, { flags, summary, notes, defaults, path, run }] of Object.entries(COMMANDS)) {
    const command = program.command(name).summary(summary).description(summary).allowExcessArguments(false);
    for (const option of optionsOf(flags)) {
      const byDefault = defaults[option.name()];
      if (byDefault !== undefined && byDefault !== false)
        option.description += ` (default: ${String(byDefault)})`;
      command.addOption(option);
    }
    command.addHelpText("after", notes).showHelpAfterError(`polargrad ${name} --help lists the flags`);
    if (path) command.argument(`<${path.name}>`, path.help);
    command.action(async (...args: unknown[]) => {
      const given = path ? { ...(args[1] as object), path: args[0] } : (args[0] as Record<string, unknown>);
      finish((await run(given, terminal)) === false ? 1 : 0);
    });
  }
  return program;
}
