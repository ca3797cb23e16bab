/** Encoded instructions. */
export type Code = readonly number[];

/** A length, then the bytes. */
export function sized(bytes: Code): Code {
  return [...unsigned(bytes.length), ...bytes];
}

/** A count, then the items. */
export function vector(items: readonly Code[]): Code {
  return [...unsigned(items.length), ...items.flat()];
}

/** A name as UTF-8. */
export function text(name: string): Code {
  return sized([...new TextEncoder().encode(name)]);
}

/** LEB128, unsigned: seven bits a byte, the lowest first. */
export function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  return [...bytes, rest];
}

/** LEB128, signed: ends when what is left is the sign of the last byte's bit 6. */
export function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest < -0x40 || rest > 0x3f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>= 7;
  }
  return [...bytes, rest & 0x7f];
}

/** The four bytes of an f32, little-endian. */
export function floatBytes(value: number): number[] {
  return [...new Uint8Array(Float32Array.of(value).buffer)];
}
