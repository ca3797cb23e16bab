export { alias, held } from "./alias.ts";
export { checkpoint } from "./checkpoint.ts";
export { enableGrad, isGradEnabled, noGrad, reportInputs, watchInputs, withGrad } from "./mode.ts";
export { record } from "./record.ts";
export { provideAdd, sweep, type SweepOptions, trackNew } from "./sweep.ts";
export { tidy } from "./tidy.ts";
