"""Records what Python's re answers: python3 scripts/record-python-re.py > test/goldens/python-re.json

answers: [pattern, [[text, fullmatch, match, search], ...]], where each answer is the list of all groups of the
match, group 0 first, or null. errors: [pattern, message, position] of patterns that re.compile refuses.
"""

import json
import platform
import re
import warnings

NAMES = [
    "",
    "lm_head",
    "model.embed_tokens",
    "model.layers.0.self_attn.q_proj",
    "model.layers.10.self_attn.v_proj",
    "model.layers.1.mlp.gate_proj",
    "model.layers.27.mlp.down_proj",
    "model.layers.3.input_layernorm",
    "base_model.model.encoder.block.2.layer.0.SelfAttention.q",
    "transformer.h.11.attn.c_attn",
    "vision.blocks.4.attn.qkv\n",
]

NAME_PATTERNS = [
    r".*\.q_proj",
    r"q_proj",
    r".*(q|v)_proj",
    r".*\.(q_proj|v_proj|k_proj|o_proj)$",
    r".*self_attn.*(q_proj|k_proj)",
    r"^model\.layers\.\d+\.self_attn\.(q|v)_proj$",
    r"model\.layers\.([0-9]|1[0-9])\..*",
    r"model\.layers\.(?:[02468]|1[02468])\.(self_attn|mlp)\.\w+",
    r".*?\.[^.]*\.(\d+)\.",
    r".*?\.layers\.(\d+)\.",
    r".*?\.h\.(\d+)\.",
    r".*?\.blocks?\.(\d+)\.",
    r"(.*\.)?(q_proj)$",
    r"(.*\.)?(.*proj)$",
    r"(.*\.)?(layers.0.self_attn.q_proj)$",
    r"(.*\.)?(^model.layers.0.self_attn.q_proj)$",
    r"(.*\.)?(0.self_attn.q_proj)$",
    r"(^|.*\.)lm_head($|\..*)",
    r"(?:.*\.)?mlp\.(?P<which>gate|up|down)_proj",
    r"(?i)MODEL\.LAYERS\.(\d{1,2})\..*PROJ",
    r"(?i:SELFATTENTION)|.*(?i:selfattention)\.q",
    r".*\.layers\.\d{2}\..*",
    r".*\.layers\.\d{,1}\..*",
    r".*\.layers\.(\d{1,2}?)\.?",
    r"(\w+)\.(\w+)\.(\d+)",
    r"(\w+?)\.(\w+?)\.(\d+?)",
    r"(?x) .* \. ( [qkv] ) _proj  # the attention",
    r"(?s).*",
    r".*",
    r".+",
    r".*\Z",
    r".*$",
    r"(?m).*$",
    r"\Amodel\b.*\bproj\b",
    r".*\b(\w+)_proj\b",
    r"\B\w+",
    r".*attn",
    r"[^.]+\.[^.]+\.[^.]+",
    r"([^.]+\.)*([^.]+)",
    r"([^.]+\.)*?([^.]+)",
    r"(?:[a-z_]+\.)+(\d+)(?:\.[a-z_]+)+",
    r".*[qkv]_proj|lm_head",
    r".*\.(?:q|k|v|o|gate|up|down)_proj",
    r"|lm_head",
    r"",
    r".*layers\.(1|2[0-9]?|10)\.",
    r"model\.(.+)\.(\w*)",
    r"model\.(.+?)\.(\w*)",
    r"(.)(.)(.)",
    r"(model|transformer|vision)\W(\w)",
    r"[\w.]*\.(?:mlp|attn)[\w.]*",
    r"\S+\s",
    r"(.*)(\d)",
    r"(.*?)(\d)",
    r"(\D*)(\d*)",
]

TEXTS = ["", "a", "ab", "aab", "abab", "aaa", "ba", "b\n", "a\nb", "a1_"]

SMALL_PATTERNS = [
    r"(a*)*",
    r"(a*)+",
    r"(a|b*)*",
    r"(a|b*)+?",
    r"(|a)+",
    r"(|a)*b",
    r"(?:()|a)+",
    r"(a*?)*?b",
    r"((a)|b)*",
    r"(?:(a)|(b))*",
    r"(a){2}",
    r"(a?){2,3}",
    r"(a?){,2}?b",
    r"(a{,2}){2,}",
    r"a{2}{",
    r"a{,}",
    r"a{x}",
    r"a{1",
    r"(ab?)(b?)",
    r"(ab??)(b?)",
    r"(a|ab)(b|)",
    r"(?:^)*a",
    r"(^a|b$)*",
    r"a$",
    r"a\Z",
    r"(?m)^b",
    r"(?s)a.b",
    r"a.b",
    r"[^a]",
    r"[]a]+",
    r"[a-]*",
    r"[\d_]",
    r"[^\W\d]+",
    r"\x61\u0062",
    r"\141\0?",
    r"(?i)AB",
    r"(?i)[A-B]+",
    r"(?i:(?-i:a)B)",
    r"(?#comment)a|b",
    r"(?P<first>a)(?P<second>b)?",
]

UNICODE = [
    [r"\w+", ["é", "ß_", "中文", "²", "٣", "e\u0301", "\u200b"]],
    [r"\d+", ["٣", "²", "１２", "½"]],
    [r"\s+", ["\u00a0", "\x1c", "\u2003", "\u200b", "\x85"]],
    [r"(?i)[a-z]+", ["ſ", "K", "İı", "É"]],
    [r"(?i)straße", ["STRASSE", "STRAẞE", "Straße"]],
    [r"(?i)Σ", ["σ", "ς", "s"]],
    [r".(.)", ["😀é", "é😀x", "😀"]],
    [r"[😀-😂]", ["😁", "a", "😃"]],
    [r"\U0001F600|\bé\b", ["😀", "é", "éé"]],
]

ERRORS = [
    "(", "(a", "(?:a", "(a|b", ")", "a)", "(a))", "*", "+a", "?", "a|*", "(*)", "{1}", "^*", r"\b+", "$?", "a**", "a+*",
    "a???", "a{2}{3}", "a{1}*", "a{3,2}", "[", "[a", "[]", "[^]", "[a-", "[z-a]", r"[\d-z]", r"[a-\w]", "\\", "a\\", r"\q",
    r"\y", r"[\q]", r"[\A]", r"\x1", r"\xg", r"[\x]", r"\u12", r"\U0000", r"\U00110000", r"\777", r"[\400]", r"[\8]",
    r"\1", r"(a)\2", r"(a\1)", r"\99", "(?", "(?P", "(?P<", "(?P<>a)", "(?P<n", "(?P<1a>b)", "(?P<a-b>c)", "(?P<n>a)(?P<n>b)",
    "(?Pa)", "(?y)", "(?<a)", "(?<", "(?#", "(?#abc", "a(?i)b", "(a(?i))", "a|(?i)b", "(?i", "(?iy)", "(?i-", "(?i-)",
    "(?i-:a)", "(?-", "(?-u:a)", "(?i-i:a)", "(?L)a", "(?au)a", "(?i2)", "(?-i", "(?-i2:a)", "é(", "😀)", "(?x) a ( b # )", "a|b)",
    "(?:a|", "x{2,1}?",
]  # fmt: skip


def groups(match):
    return match and [match.group(group) for group in range(len(match.groups()) + 1)]


def answers(pattern, texts):
    compiled = re.compile(pattern)
    operations = (compiled.fullmatch, compiled.match, compiled.search)
    return [pattern, [[text, *(groups(operation(text)) for operation in operations)] for text in texts]]


def error(pattern):
    try:
        re.compile(pattern)
    except re.error as refused:
        return [pattern, refused.msg, refused.pos]
    raise ValueError(f"Python takes {pattern!r}: it belongs to the patterns")


def lines(rows):
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]"


warnings.simplefilter("ignore")
recorded = [
    *(answers(pattern, NAMES) for pattern in NAME_PATTERNS),
    *(answers(pattern, TEXTS) for pattern in SMALL_PATTERNS),
    *(answers(pattern, texts) for pattern, texts in UNICODE),
]
print(
    f'{{"python": "{platform.python_version()}",\n"answers": {lines(recorded)},\n"errors": {lines(map(error, ERRORS))}}}'
)
