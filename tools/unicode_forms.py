#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes unicode_forms.c, the properties of src/text/unicode_forms.h, from the Unicode character database.

    unicode_forms.py /usr/share/unicode OUT.c

As tools/unicode_table.py, which explains why: Hugging Face tokenizers 0.23.3 has its normal forms from Unicode 9.0
(unicode-normalization-alignments 0.1.12), its marks as well, and its grapheme clusters from 17.0 (unicode-segmentation).
The database read here is 15.0.
"""

import sys

from unicode_table import LIMIT, NOT_DECOMPOSED, numbers, read, read_ages, read_property, read_unicode_data, span, stages

FORM_AGE = (9, 0)
MARK_SINCE = {0x1CF2, 0x1CF3}  # Mc then, Lo now
NO_MARK_THEN = {0x111C9}
# Grapheme_Extend, ZWJ and SpacingMark that came with Unicode 15.1 to 17.0.
ATTACH_SINCE = """897 1ACF-1ADD 1AE0-1AEB 10D69-10D6D 10EFA-10EFC 113B8-113C0 113C2 113C5 113C7-113CA 113CC-113D0 113D2
113E1-113E2 11B60-11B67 11F5A 1611E-1612F 1E5EE-1E5EF 1E6E3 1E6E6 1E6EE-1E6EF 1E6F5"""
PREPEND_SINCE, PREPEND_THEN = {0x113D1}, {0x11A3A}

# Bits of rt_unicode_form.flags; the names are those of unicode_forms.h.
ATTACH, PREPEND, CONTROL, MARK, SECOND = (1 << i for i in range(5))


def since(text):
    return {c for part in text.split() for c in span(part.replace("-", ".."))}


def read_compatible(folder, age):
    """Decompositions of both kinds, one step each."""
    parts = {}
    for row in read(folder, "UnicodeData.txt"):
        point = int(row[0], 16)
        if row[5] and age[point] <= FORM_AGE and point not in NOT_DECOMPOSED:
            parts[point] = [int(c, 16) for c in row[5].split() if c[0] != "<"]
    return parts


def expand(point, parts):
    if point not in parts:
        return [point]
    return [c for part in parts[point] for c in expand(part, parts)]


def read_pairs(folder, age):
    """(first, second, what they compose to)"""
    excluded = read_property(folder, "DerivedNormalizationProps.txt", "Full_Composition_Exclusion")
    _, _, decomposed, _ = read_unicode_data(folder)
    return sorted(
        (*parts, point)
        for point, parts in decomposed.items()
        if len(parts) == 2 and age[point] <= FORM_AGE and point not in excluded | NOT_DECOMPOSED
    )


def build_rows(folder):
    """Row of every code point: (flags, compatible decomposition)"""
    category, _, _, _ = read_unicode_data(folder)
    age = read_ages(folder)
    breaks = {name: read_property(folder, "auxiliary/GraphemeBreakProperty.txt", name)
              for name in ("Extend", "ZWJ", "SpacingMark", "Prepend", "Control", "CR", "LF")}
    attach = breaks["Extend"] | breaks["ZWJ"] | breaks["SpacingMark"] | since(ATTACH_SINCE)
    prepend = (breaks["Prepend"] | PREPEND_SINCE) - PREPEND_THEN
    control = breaks["Control"] | breaks["CR"] | breaks["LF"]
    parts, pairs = read_compatible(folder, age), read_pairs(folder, age)
    # Vowels and trailing consonants of Hangul compose by arithmetic.
    seconds = {second for _, second, _ in pairs} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    rows = []
    for c in range(LIMIT):
        mark = (category[c][0] == "M" and age[c] <= FORM_AGE or c in MARK_SINCE) and c not in NO_MARK_THEN
        flags = (ATTACH * (c in attach) | PREPEND * (c in prepend) | CONTROL * (c in control) | MARK * mark
                 | SECOND * (c in seconds))
        full = expand(c, parts)
        rows.append((flags, tuple(full) if full != [c] else ()))
    return rows, pairs


def main(folder, path):
    rows, pairs = build_rows(folder)
    first_stage, second_stage, distinct = stages(rows)
    pool, table = [], []
    for flags, parts in distinct:
        table.append(f"{{{len(pool) if parts else 0}, {len(parts)}, {flags}}}")
        pool += parts
    assert len(pool) < 65536
    with open(path, "w", encoding="ascii") as out:
        out.write(f"""/* Made by tools/unicode_forms.py from the Unicode character database. */
#include "text/unicode_forms.h"

const uint16_t rt_form_first[{len(first_stage)}] = {{
    {numbers(first_stage)}}};
const uint16_t rt_form_second[{len(second_stage)}] = {{
    {numbers(second_stage)}}};
const rt_unicode_form rt_form_rows[{len(table)}] = {{
    {numbers(table, 6)}}};
const uint32_t rt_form_parts[{len(pool)}] = {{
    {numbers([hex(c) for c in pool], 12)}}};
const rt_form_pair rt_form_pairs[{len(pairs)}] = {{
    {numbers([f"{{{a:#x}, {b:#x}, {c:#x}}}" for a, b, c in pairs], 4)}}};
const size_t rt_form_pair_count = {len(pairs)};
""")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
