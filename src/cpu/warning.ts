/** Tell people: as a warning of the process, in a browser on the console. */
export function emitWarning(message: string): void {
  if (typeof process !== "undefined" && process.emitWarning) process.emitWarning(message, "PolargradWarning");
  else console.warn(message);
}
