import type { AdapterReportRow } from "../delora/index.ts";
import { decimal, percent } from "./format.ts";
import { type Row, table } from "./table.ts";

const MOST_ROWS = 40;

/** What the table tells of a module. */
export type ModuleRow = Pick<AdapterReportRow, "name" | "lambda" | "deltaNorm" | "bound" | "share">;

/**
 * Lines that say what training did to each module: λ, ‖ΔW‖_F, its bound, the share used. More than 40
 * modules are summed up by kind, unless `all` is asked for.
 *
 * @param startLambda the λ that every module began with
 */
export function adapterTable(
  modules: readonly ModuleRow[],
  startLambda: number,
  all: boolean,
): string[] {
  if (all || modules.length <= MOST_ROWS) {
    const head = ["module", `λ (from ${startLambda})`, "‖ΔW‖_F", "bound", "share used"];
    return table(
      head,
      modules.map(({ name, lambda, deltaNorm, bound, share }) => [
        shortName(name),
        decimal(lambda ?? 0),
        decimal(deltaNorm ?? 0),
        decimal(bound ?? 0),
        percent(share ?? 0),
      ]),
    );
  }
  const head = [
    `kind (${modules.length} modules)`,
    "count",
    `λ from ${startLambda}: min … mean … max`,
    "share used: min … mean … max",
  ];
  return [...table(head, summaries(modules)), "(--all_modules lists every module)"];
}

function summaries(modules: readonly ModuleRow[]): Row[] {
  const kinds = [...new Set(modules.map(kindOf))];
  return kinds.map((kind) => {
    const members = modules.filter((module) => kindOf(module) === kind);
    const lambdas = spread(
      members.map(({ lambda }) => lambda ?? 0),
      decimal,
    );
    return [
      kind,
      String(members.length),
      lambdas,
      spread(
        members.map(({ share }) => share ?? 0),
        percent,
      ),
    ];
  });
}

const kindOf = ({ name }: ModuleRow): string => name.slice(name.lastIndexOf(".") + 1);

function spread(values: readonly number[], format: (value: number) => string): string {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return [Math.min(...values), mean, Math.max(...values)].map((value) => format(value)).join(" … ");
}

/** Without what all names begin with: `layers.0.self_attn.q_proj`. */
const shortName = (name: string): string => name.replace(/^model\./, "");
