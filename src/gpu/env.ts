/**
 * The environment variable `name`, or undefined where it is not set or there is no environment (a browser).
 */
export const env = (name: string): string | undefined =>
  typeof process === "undefined" ? undefined : process.env[name];

/** True when the environment variable `name` is `"1"`. */
export const isOn = (name: string): boolean => env(name) === "1";
