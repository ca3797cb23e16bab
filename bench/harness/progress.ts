let row = "";
let started = 0;
let spoke = 0;

/** The row that progress is about from now on. */
export function startRow(name: string): void {
  row = name;
  started = performance.now();
  say("start");
}

/** One line of progress on standard error, with the seconds since the row began. */
export function say(what: string): void {
  spoke = performance.now();
  process.stderr.write(`[${row} ${((performance.now() - started) / 1000).toFixed(0)} s] ${what}\n`);
}

/** `say`, unless the last line was printed less than two seconds ago. */
export function sayNowAndThen(what: string): void {
  if (performance.now() - spoke > 2000) say(what);
}
