import { type Figure, type Measurement, ratioOf, type Target, verdictOf } from "./figure.ts";
import { BUSY } from "./others.ts";
import type { RowResult } from "./row.ts";

const HEADER = ["row", "figure", "value", "peer", "ratio", "reach", "first look", "verdict", "checked", "on"];

/** The results as one Markdown table, a line a figure. */
export function tableOf(results: readonly RowResult[]): string {
  const lines = results.flatMap((result) => result.figures.map((figure) => [result.row, ...cellsOf(figure, isBusy(result))]));
  return [HEADER, HEADER.map(() => "---"), ...lines].map((cells) => `| ${cells.map(escaped).join(" | ")} |`).join("\n");
}

/** `rows: 3, figures: 12: 5 reached, 2 at first look, 1 short, 3 without a target, 1 not run, 0 FAILED`. */
export function totalsOf(results: readonly RowResult[]): string {
  const all = results.flatMap(({ figures }) => figures);
  const verdicts = all.map((figure) => (figure.status === "measured" ? verdictOf(figure) : figure.status));
  const count = (wanted: string): number => verdicts.filter((verdict) => verdict === wanted).length;
  const parts = [`${count("reached")} reached`, `${count("first look")} at first look`, `${count("short")} short`, `${count("")} without a target`];
  const busy = results.filter(isBusy).map(({ row }) => row);
  const warning = busy.length > 0 ? `; measured while other processes were busy: ${busy.join(", ")}` : "";
  return `rows: ${results.length}, figures: ${all.length}: ${[...parts, `${count("not run")} not run`, `${count("failed")} FAILED`].join(", ")}${warning}`;
}

/** Other processes were so busy during the row that its numbers, ratios too, are chance. */
const isBusy = ({ othersCores }: RowResult): boolean => (othersCores ?? 0) > BUSY;

function cellsOf(figure: Figure, busy: boolean): string[] {
  if (figure.status !== "measured") return [figure.name, figure.status.replace("failed", "FAILED"), "", "", "", "", "", figure.reason, ""];
  const { name, value, unit, peer, check, on } = figure;
  const ratio = ratioOf(figure);
  return [
    name,
    [`${number(value)} ${unit}`, ...asides(figure)].join(", "),
    peer ? `${peer.name} ${number(peer.value)}` : "",
    ratio === null ? "" : number(ratio),
    levels(figure, ({ reach }) => reach),
    levels(figure, ({ firstLook }) => firstLook),
    `${verdictOf(figure)}${busy ? " (busy machine)" : ""}`.trim(),
    check,
    on,
  ];
}

/** The middle of the times beside the best, and the speed in tokens. */
function asides({ details = {} }: Measurement): string[] {
  const { median, tokensPerSecond } = details;
  return [
    ...(typeof median === "number" ? [`median ${number(median)}`] : []),
    ...(typeof tokensPerSecond === "number" ? [`${number(tokensPerSecond)} tokens/s`] : []),
  ];
}

/** `≥ 85, ratio ≥ 0.85`. */
function levels({ targets = {} }: Measurement, levelOf: (target: Target) => number | undefined): string {
  const text = (target: Target | undefined, before: string): string[] => {
    const level = target && levelOf(target);
    return level === undefined ? [] : [`${before}${target?.better === "higher" ? "≥" : "≤"} ${level}`];
  };
  return [...text(targets.value, ""), ...text(targets.ratio, "ratio ")].join(", ");
}

/** Three digits that matter, and thousands in full. */
const number = (value: number): string => (Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(3));

const escaped = (cell: string): string => cell.replaceAll("|", "\\|").replace(/\s+/g, " ");
