// One of the library's contestants in a process of its own. usage: node side.js NAME OPTIONS-AS-JSON
import { closeDevice, DeviceError } from "../src/index.ts";
import { type Side, serve } from "./harness/side.ts";
import { SIDES, type SideName } from "./sides/index.ts";

const [name, options] = process.argv.slice(2);
const open = SIDES[name as SideName] as (options: unknown) => Promise<Side>;
try {
  await serve(await open(JSON.parse(options)));
} catch (error) {
  if (!(error instanceof DeviceError)) throw error;
  console.log(JSON.stringify({ missing: error.message }));
}
await closeDevice();
