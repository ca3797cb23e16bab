import type { Tensor } from "../tensor/tensor.ts";
import { record } from "./record.ts";

/** Another handle on the same elements, still connected to the graph of `input`. */
export const alias = (input: Tensor): Tensor => record("alias", [input], input.detach(), (dy) => [dy], () => []);

/** Such a handle through which the graph goes on, while `input` keeps its elements until the backward sweep has passed it. */
export const held = (input: Tensor): Tensor => record("held", [input], input.detach(), (dy) => [dy]);
