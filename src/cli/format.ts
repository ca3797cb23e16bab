/** An integer with thousands separated: 7,473. */
export const count = (n: number): string => Math.round(n).toLocaleString("en-US");

/** `count` with its noun: "1 row", "7,473 rows". */
export const counted = (n: number, noun: string): string => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;

/** A loss or a norm, to four decimals; small values in exponent form. */
export function decimal(x: number, digits = 4): string {
  const isTiny = x !== 0 && Math.abs(x) < 10 ** -digits;
  return isTiny ? x.toExponential(1) : x.toFixed(digits);
}

/** A share as a percentage: 12.3 %. */
export const percent = (share: number): string => `${decimal(100 * share, 1)} %`;

/** A time for people: "42 s", "3 min 05 s", "2 h 10 min". */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (n: number): string => String(Math.floor(n)).padStart(2, "0");
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two((whole % 3600) / 60)} min`;
}

/** A number of bytes in binary units: "64 KiB". */
export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, n < 1 ? 0 : Math.floor(Math.log2(n) / 10));
  const value = n / 1024 ** power;
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[power]}`;
}
