export { sumTo } from "./sum.ts";
