import { type CharacterSet, type ClassItem, classSet } from "./characters.ts";
import { type ClassMember, parseClassEscape } from "./parse-escape.ts";
import { type Reader, tokenLength } from "./reader.ts";
import type { Flags } from "./syntax.ts";

const HYPHEN = 0x2d;

/**
 * A character class behind its `[`, which was read just now.
 *
 * @throws PatternError when it does not end, or a range runs backwards or starts or ends at a category
 */
export function parseClass(reader: Reader, flags: Flags): CharacterSet {
  const start = reader.position - 1;
  const unterminated = () => reader.error("unterminated character set", reader.position - start);
  const negated = reader.accept("^");
  const items: ClassItem[] = [];
  while (true) {
    const token = reader.take();
    if (token === null) throw unterminated();
    if (token === "]" && items.length > 0) break;
    const first = parseMember(reader, token);
    if (!reader.accept("-")) {
      items.push(itemOf(first));
      continue;
    }
    const last = reader.take();
    if (last === null) throw unterminated();
    if (last === "]") {
      items.push(itemOf(first), { low: HYPHEN, high: HYPHEN });
      break;
    }
    const end = parseMember(reader, last);
    if (first.kind !== "literal" || end.kind !== "literal" || end.code < first.code) {
      const written = `${token}-${last}`;
      throw reader.error(`bad character range ${written}`, tokenLength(written));
    }
    items.push({ low: first.code, high: end.code });
  }
  return classSet(items, { negated, ignoreCase: flags.ignoreCase });
}

function parseMember(reader: Reader, token: string): ClassMember {
  if (token.startsWith("\\")) return parseClassEscape(reader, token);
  return { kind: "literal", code: token.codePointAt(0) ?? 0 };
}

function itemOf(member: ClassMember): ClassItem {
  return member.kind === "literal" ? { low: member.code, high: member.code } : member;
}
