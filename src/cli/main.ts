#!/usr/bin/env node
import { runCommand } from "./program.ts";
import { stdout } from "./terminal.ts";

// A reader that has seen enough, such as head, closes the pipe.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

process.exitCode = await runCommand(process.argv.slice(2), stdout, (line) => {
  process.stderr.write(`${line}\n`);
});
