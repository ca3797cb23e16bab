/** A JSON value that `toPythonJson` can write. */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/**
 * JSON text as Python's `json.dumps(value, indent=2, sort_keys=True)` writes it: ASCII only, no newline at
 * the end.
 *
 * @param floats keys, at any depth, whose numbers are floats in Python: written `0.0` where JSON.stringify says `0`
 */
export function toPythonJson(
  value: { readonly [key: string]: JsonValue },
  floats: ReadonlySet<string> = new Set(),
): string {
  return writeObject(value, "", floats);
}

/** Keys, at any depth, whose numbers are whole but written as floats in a JSON text: of `{"a": 15.0}` `a`. */
export function floatKeys(text: string): Set<string> {
  const found = text.matchAll(/("(?:[^"\\]|\\.)*")\s*:\s*-?\d+\.0+(?=\s*[,}])/g);
  return new Set([...found].map(([, key]) => JSON.parse(key) as string));
}

/** A number as Python prints a float: `15.0`, `1e-05`, `0.1`. */
export function pythonFloat(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
  if (Object.is(value, -0)) return "-0.0";
  const [mantissa, exponent] = value.toExponential().split("e");
  const power = Number(exponent);
  if (value !== 0 && (power < -4 || power >= 16)) {
    return `${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

/** A list of strings as Python prints it: `['a', 'b']`. */
export const pythonList = (items: Iterable<string | number>): string =>
  `[${[...items].map(pythonRepr).join(", ")}]`;

/** A set of strings as Python prints it, in the order given: `{'a', 'b'}`. */
export const pythonSet = (items: Iterable<string>): string => {
  const inside = [...items].map(pythonRepr).join(", ");
  return inside === "" ? "set()" : `{${inside}}`;
};

const pythonRepr = (item: string | number): string => {
  if (typeof item === "number") return String(item);
  return item.includes("'") ? JSON.stringify(item) : `'${item}'`;
};

function write(value: JsonValue, indent: string, floats: ReadonlySet<string>): string {
  if (typeof value === "string") return writeString(value);
  if (typeof value === "number") return Number.isSafeInteger(value) ? String(value) : pythonFloat(value);
  if (value === null || typeof value === "boolean") return String(value);
  if (isList(value))
    return enclose(
      "[",
      value.map((item) => write(item, `${indent}  `, floats)),
      "]",
      indent,
    );
  return writeObject(value, indent, floats);
}

const isList = (value: object): value is readonly JsonValue[] => Array.isArray(value);

function writeObject(
  value: { readonly [key: string]: JsonValue },
  indent: string,
  floats: ReadonlySet<string>,
): string {
  const member = (key: string, of: JsonValue): string =>
    floats.has(key) && typeof of === "number" ? pythonFloat(of) : write(of, `${indent}  `, floats);
  const keys = Object.keys(value).sort();
  return enclose(
    "{",
    keys.map((key) => `${writeString(key)}: ${member(key, value[key])}`),
    "}",
    indent,
  );
}

function enclose(open: string, items: readonly string[], close: string, indent: string): string {
  if (items.length === 0) return open + close;
  const inner = `\n${indent}  `;
  return `${open}${inner}${items.join(`,${inner}`)}\n${indent}${close}`;
}

const writeString = (text: string): string =>
  JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
