const MAX_SHOWN = 80;

/** Control, bidirectional and line-separator characters: what could rewrite a terminal line when printed. */
const UNPRINTABLE = /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/**
 * Text that came from a file, made safe to print in an error: quoted, shortened to 80 characters, with every
 * character that could steer a terminal escaped.
 */
export function quote(text: string): string {
  const shown = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
  return JSON.stringify(shown).replace(UNPRINTABLE, escapeCharacter);
}

/** Any JSON value as an error shows it: strings by `quote`, the rest as short JSON. */
export function quoteValue(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string") return quote(value);
  if (typeof value === "number") return String(value);
  const json = JSON.stringify(value) ?? typeof value;
  const shown = json.length > MAX_SHOWN ? `${json.slice(0, MAX_SHOWN)}…` : json;
  return shown.replace(UNPRINTABLE, escapeCharacter);
}

function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
