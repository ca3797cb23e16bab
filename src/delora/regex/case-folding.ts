/**
 * The lower-case code point of one character, as Python's `re` takes it: the simple mapping, by which `İ`
 * (U+0130) becomes `i`.
 */
export function lowerCase(code: number): number {
  const lower = String.fromCodePoint(code).toLowerCase();
  return lower.codePointAt(0) ?? code;
}

/**
 * All characters that `code` equals when case is ignored, itself among them: those whose lower-case forms are
 * equal or have the same upper case, so `s`, `S` and `ſ` are one orbit (Python's `re/_casefix.py`).
 */
export function caseOrbit(code: number): readonly number[] {
  orbits ??= findOrbits();
  return orbits.get(orbitKey(code)) ?? [code];
}

let orbits: Map<string, number[]> | null = null;

function orbitKey(code: number): string {
  return String.fromCodePoint(lowerCase(code)).toUpperCase();
}

/** No cased letter lies beyond the first two planes. */
const CASED_END = 0x20000;
const CHUNK = 0x1000;
const SURROGATES_START = 0xd000;

function findOrbits(): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (let start = 0; start < CASED_END; start += CHUNK) {
    if (start === SURROGATES_START) continue;
    const chunk = String.fromCodePoint(...Array.from({ length: CHUNK }, (_, offset) => start + offset));
    for (const character of chunk.match(/\p{Changes_When_Casemapped}/gu) ?? []) {
      const code = character.codePointAt(0) ?? 0;
      const key = orbitKey(code);
      const orbit = found.get(key);
      if (orbit) orbit.push(code);
      else found.set(key, [code]);
    }
  }
  return found;
}
