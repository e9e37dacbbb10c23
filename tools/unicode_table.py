#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes unicode_table.c, the character properties of src/text/unicode.h, from the Unicode character
database.

    unicode_table.py /usr/share/unicode OUT.c

The tokenizer must do what Hugging Face tokenizers 0.23.3 does, and that mixes four versions of Unicode:
its general categories are those of Unicode 8.0 (crate unicode_categories 0.1.1), its decompositions and
combining classes those of 9.0 (unicode-normalization-alignments 0.1.12), its word characters those of 16.0
(regex), the letters and numbers of its patterns too (Oniguruma), its lower case and what it calls numeric those of
17.0 (Rust's standard library). The database read here is 15.0, so each
property is taken only for characters that existed in the older version (DerivedAge.txt), and what then
still differs is listed below, one constant an exception. Test: every code point against the official
library.
"""

import sys

CATEGORY_AGE = (8, 0)
COMBINING_AGE = (9, 0)

# General category of some characters changed after Unicode 8.0.
MARK_THEN = {0x1734}  # Mn then, Mc now
MARK_ONLY_NOW = {0x1885, 0x1886, 0xA9BD, 0x111C9}  # Lo, Lo, Mc and Po then, Mn now
PUNCTUATION_THEN = {0x166D, 0x111C9}  # Po then, So and Mn now
# The library's decompositions are older than this one.
NOT_DECOMPOSED = {0x11938}
# Lower case that came with Unicode 16.0 and 17.0: (first, last, first of the lower case).
LOWER_SINCE = [
    (0x1C89, 0x1C89, 0x1C8A),
    (0xA7CB, 0xA7CB, 0x0264),
    (0xA7CC, 0xA7CC, 0xA7CD),
    (0xA7CE, 0xA7CE, 0xA7CF),
    (0xA7D2, 0xA7D2, 0xA7D3),
    (0xA7D4, 0xA7D4, 0xA7D5),
    (0xA7DA, 0xA7DA, 0xA7DB),
    (0xA7DC, 0xA7DC, 0x019B),
    (0x10D50, 0x10D65, 0x10D70),
    (0x16EA0, 0x16EB8, 0x16EBB),
]
# Characters of \w that came with Unicode 15.1 and 16.0, the version of the regex crate.
WORD_SINCE = [
    (0x897, 0x897),
    (0x1C89, 0x1C8A),
    (0xA7CB, 0xA7CD),
    (0xA7DA, 0xA7DC),
    (0x105C0, 0x105F3),
    (0x10D40, 0x10D65),
    (0x10D69, 0x10D6D),
    (0x10D6F, 0x10D85),
    (0x10EC2, 0x10EC4),
    (0x10EFC, 0x10EFC),
    (0x11380, 0x11389),
    (0x1138B, 0x1138B),
    (0x1138E, 0x1138E),
    (0x11390, 0x113B5),
    (0x113B7, 0x113C0),
    (0x113C2, 0x113C2),
    (0x113C5, 0x113C5),
    (0x113C7, 0x113CA),
    (0x113CC, 0x113D3),
    (0x113E1, 0x113E2),
    (0x116D0, 0x116E3),
    (0x11BC0, 0x11BE0),
    (0x11BF0, 0x11BF9),
    (0x11F5A, 0x11F5A),
    (0x13460, 0x143FA),
    (0x16100, 0x16139),
    (0x16D40, 0x16D6C),
    (0x16D70, 0x16D79),
    (0x18CFF, 0x18CFF),
    (0x1CCF0, 0x1CCF9),
    (0x1E5D0, 0x1E5FA),
    (0x2EBF0, 0x2EE5D),
]
# Letters and numbers that came with Unicode 15.1 and 16.0.
LETTER_SINCE = [
    (0x1C89, 0x1C8A),
    (0xA7CB, 0xA7CD),
    (0xA7DA, 0xA7DC),
    (0x105C0, 0x105F3),
    (0x10D4A, 0x10D65),
    (0x10D6F, 0x10D85),
    (0x10EC2, 0x10EC4),
    (0x11380, 0x11389),
    (0x1138B, 0x1138B),
    (0x1138E, 0x1138E),
    (0x11390, 0x113B5),
    (0x113B7, 0x113B7),
    (0x113D1, 0x113D1),
    (0x113D3, 0x113D3),
    (0x11BC0, 0x11BE0),
    (0x13460, 0x143FA),
    (0x16100, 0x1611D),
    (0x16D40, 0x16D6C),
    (0x18CFF, 0x18CFF),
    (0x1E5D0, 0x1E5ED),
    (0x1E5F0, 0x1E5F0),
    (0x2EBF0, 0x2EE5D),
]
NUMBER_SINCE = [
    (0x10D40, 0x10D49),
    (0x116D0, 0x116E3),
    (0x11BF0, 0x11BF9),
    (0x16130, 0x16139),
    (0x16D70, 0x16D79),
    (0x1CCF0, 0x1CCF9),
    (0x1E5F1, 0x1E5FA),
]
# Numbers that came with Unicode 17.0.
NUMERIC_SINCE = [(0x11DE0, 0x11DE9), (0x16FF4, 0x16FF6)]
# The library means CJK Extension E, which begins at U+2B820, but says U+2B920: 256 ideographs get no spaces.
EXTENSION_E_TYPO = 0x2B920
IDEOGRAPHS = [
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (EXTENSION_E_TYPO, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
]

# Bits of rt_unicode_row.flags; the names are those of unicode.h.
REMOVED, BLANK, SPACE, PUNCTUATION, IDEOGRAPH, MARK, WORD, LETTER, NUMBER, NUMERIC = (1 << i for i in range(10))
LIMIT = 0x110000
BLOCK = 128  # code points a block of the second stage


def read(folder, name):
    """Rows of fields, without comments."""
    with open(f"{folder}/{name}", encoding="utf-8") as file:
        for line in file:
            line = line.split("#")[0].strip()
            if line:
                yield [field.strip() for field in line.split(";")]


def span(field):
    first, _, last = field.partition("..")
    return range(int(first, 16), int(last or first, 16) + 1)


def read_unicode_data(folder):
    category, combining, decomposed, lower = ["Cn"] * LIMIT, [0] * LIMIT, {}, {}
    first = None
    for row in read(folder, "UnicodeData.txt"):
        point = int(row[0], 16)
        if row[1].endswith(", First>"):
            first = point
            continue
        for c in range(first if row[1].endswith(", Last>") else point, point + 1):
            category[c] = row[2]
        combining[point] = int(row[3])
        if row[5] and not row[5].startswith("<"):
            decomposed[point] = [int(c, 16) for c in row[5].split()]
        if row[13]:
            lower[point] = int(row[13], 16)
    return category, combining, decomposed, lower


def read_ages(folder):
    age = [(99, 0)] * LIMIT
    for field, version in read(folder, "DerivedAge.txt"):
        for c in span(field):
            age[c] = tuple(map(int, version.split(".")))
    return age


def read_property(folder, name, wanted):
    return {c for row in read(folder, name) if row[1] == wanted for c in span(row[0])}


def full_decomposition(point, decomposed):
    if point in NOT_DECOMPOSED or point not in decomposed:
        return [point]
    return [c for part in decomposed[point] for c in full_decomposition(part, decomposed)]


def within(point, ranges):
    return any(first <= point <= last for first, last in ranges)


def pattern_flags(point, category):
    """category: the general category as of Unicode 15.0."""
    number = category[0] == "N" or within(point, NUMBER_SINCE)
    return (
        LETTER * (category[0] == "L" or within(point, LETTER_SINCE))
        | NUMBER * number
        | NUMERIC * (number or within(point, NUMERIC_SINCE))
    )


def flags_of(point, category, white_space, word):
    """category: the general category as of Unicode 8.0, "Cn" for what is younger."""
    kept_control = point in (0x09, 0x0A, 0x0D)
    removed = point in (0, 0xFFFD) or (category in ("Cc", "Cf", "Co") and not kept_control)
    ascii_punctuation = point < 128 and chr(point) in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
    punctuation = category[0] == "P" or point in PUNCTUATION_THEN or ascii_punctuation
    mark = (category == "Mn" or point in MARK_THEN) and point not in MARK_ONLY_NOW
    return (
        REMOVED * removed
        | BLANK * (point in white_space and not removed)
        | SPACE * (point in white_space)
        | PUNCTUATION * punctuation
        | IDEOGRAPH * any(a <= point <= b for a, b in IDEOGRAPHS)
        | MARK * mark
        | WORD * (point in word)
    )


def build_rows(folder):
    """Property row of every code point: (flags, combining class, lower case minus itself, decomposition)."""
    category, combining, decomposed, lower = read_unicode_data(folder)
    age = read_ages(folder)
    white_space = read_property(folder, "PropList.txt", "White_Space")
    # \w of the regex crate: UTS #18 Annex C, compatibility properties.
    word = read_property(folder, "DerivedCoreProperties.txt", "Alphabetic")
    word |= read_property(folder, "PropList.txt", "Join_Control")
    word |= {c for c in range(LIMIT) if category[c] in ("Mn", "Mc", "Me", "Nd", "Pc")}
    word |= {c for first, last in WORD_SINCE for c in range(first, last + 1)}
    for first, last, to in LOWER_SINCE:
        lower.update({c: to + c - first for c in range(first, last + 1)})
    rows = []
    for c in range(LIMIT):
        flags = flags_of(c, category[c] if age[c] <= CATEGORY_AGE else "Cn", white_space, word)
        flags |= pattern_flags(c, category[c])
        parts = full_decomposition(c, decomposed)
        rows.append(
            (
                flags,
                combining[c] if age[c] <= COMBINING_AGE else 0,
                lower.get(c, c) - c,
                tuple(parts) if parts != [c] else (),
            )
        )
    return rows


def numbers(values, per_line=16):
    lines = [values[i : i + per_line] for i in range(0, len(values), per_line)]
    return ",\n    ".join(", ".join(map(str, line)) for line in lines)


def stages(rows):
    """Two tables from code points to the index of their row, and the distinct rows: blocks, which many code points share, and
    what stands in them."""
    distinct = {row: i for i, row in enumerate(dict.fromkeys(rows))}
    blocks, first_stage = {}, []
    for at in range(0, LIMIT, BLOCK):
        block = tuple(distinct[row] for row in rows[at : at + BLOCK])
        first_stage.append(blocks.setdefault(block, len(blocks)))
    second_stage = [index for block in blocks for index in block]
    assert len(distinct) < 65536 and len(blocks) < 65536
    return first_stage, second_stage, list(distinct)


def main(folder, path):
    rows = build_rows(folder)
    first_stage, second_stage, distinct = stages(rows)
    pool, table = [], []
    for flags, combining, lower, parts in distinct:
        table.append(f"{{{lower}, {len(pool) if parts else 0}, {flags}, {combining}, {len(parts)}}}")
        pool += parts
    assert len(pool) < 65536
    with open(path, "w", encoding="ascii") as out:
        out.write(f"""/* Made by tools/unicode_table.py from the Unicode character database. */
#include "text/unicode.h"

const uint16_t rt_unicode_first[{len(first_stage)}] = {{
    {numbers(first_stage)}}};
const uint16_t rt_unicode_second[{len(second_stage)}] = {{
    {numbers(second_stage)}}};
const rt_unicode_row rt_unicode_rows[{len(table)}] = {{
    {numbers(table, 6)}}};
const uint32_t rt_unicode_parts[{len(pool)}] = {{
    {numbers([hex(c) for c in pool], 12)}}};
""")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
