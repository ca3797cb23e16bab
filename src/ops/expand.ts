export { expand } from "./sum.ts";
