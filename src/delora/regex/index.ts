export { PatternError, type PatternErrorCode, type PatternProblem } from "./errors.ts";
export { compilePattern, type Pattern } from "./pattern.ts";
