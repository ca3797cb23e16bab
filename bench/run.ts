// Measures the library and its peers and prints one table. Progress goes to standard error.
// usage: npm run bench -- [--list] [--only ROW[,ROW]] [--peers] [--json FILE]
//   --peers       also the rows beside other libraries: npm install --prefix bench/peers
//   --json FILE   write these results there; without it they are kept in bench/results, with a Markdown table of all
// Exit code 1: a result was wrong. 2: the command line was.
import { parseArgs } from "node:util";
import { allRight, measureRows } from "./harness/measure.ts";
import { RESULTS } from "./harness/paths.ts";
import { keepResults, writeJson } from "./harness/results.ts";
import type { Row } from "./harness/row.ts";
import { tableOf, totalsOf } from "./harness/table.ts";
import { listRows, ROWS, selectRows } from "./rows/index.ts";

async function bench(rows: readonly Row[], file: string | undefined): Promise<void> {
  const order = ROWS.map(({ name }) => name);
  const results = await measureRows(rows, (result) => {
    if (!file) keepResults(RESULTS, [result], order);
  });
  if (file) writeJson(file, results);
  console.log(`${tableOf(results)}\n\n${totalsOf(results)}`);
  if (!allRight(results)) process.exitCode = 1;
}

// An interrupted run leaves nothing behind: exit handlers do not run on a signal.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
try {
  const { values } = parseArgs({ options: { list: { type: "boolean" }, only: { type: "string" }, peers: { type: "boolean" }, json: { type: "string" } } });
  if (values.list) console.log(listRows());
  else await bench(selectRows(values.only, values.peers), values.json);
} catch (error) {
  const isUsage = error instanceof RangeError || (error instanceof TypeError && "code" in error);
  if (!isUsage) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
