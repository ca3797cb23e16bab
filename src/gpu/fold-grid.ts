const MAX_GROUPS = 65535;

/** Spreads `groups` workgroups over the axes of a grid. Kernels number them x first and skip the excess. */
export function foldGrid(groups: number): [number, number, number] {
  if (groups === 0) return [0, 1, 1];
  const planes = Math.ceil(groups / MAX_GROUPS ** 2);
  const columns = Math.ceil(groups / planes / MAX_GROUPS);
  return [Math.ceil(groups / planes / columns), columns, planes];
}

/** WGSL: the number of a workgroup in a grid of `foldGrid`, from the builtins `group` and `groups`. */
export const GROUP_NUMBER = "group.x + groups.x * (group.y + groups.y * group.z)";
