#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes unicode_scripts.c, the scripts of src/text/unicode_scripts.h, from the Unicode character database.

    unicode_scripts.py /usr/share/unicode OUT.c

Scripts are those of Unicode 15.0, by their codes of ISO 15924.
"""

import sys

from unicode_table import LIMIT, numbers, read, span, stages

NONE = {"Zyyy", "Zinh", "Zzzz"}  # Common, Inherited, Unknown


def read_scripts(folder):
    """Code of the script of every code point; "": of none."""
    codes = {row[2]: row[1] for row in read(folder, "PropertyValueAliases.txt") if row[0] == "sc"}
    scripts = [""] * LIMIT
    for field, name, *_ in read(folder, "Scripts.txt"):
        code = codes[name]
        for c in span(field):
            scripts[c] = "" if code in NONE else code
    return scripts


def main(folder, path):
    scripts = read_scripts(folder)
    names = ["", *sorted(set(scripts) - {""})]
    index = {name: i for i, name in enumerate(names)}
    rows = [index[script] for script in scripts]
    first_stage, second_stage, distinct = stages(rows)
    quoted = [f'"{name}"' for name in names]
    with open(path, "w", encoding="ascii") as out:
        out.write(f"""/* Made by tools/unicode_scripts.py from the Unicode character database. */
#include "text/unicode_scripts.h"

_Static_assert({len(names)} <= RT_MOST_SCRIPTS, "scripts have a number below this");
const uint16_t rt_script_first[{len(first_stage)}] = {{
    {numbers(first_stage)}}};
const uint8_t rt_script_second[{len(second_stage)}] = {{
    {numbers([distinct[i] for i in second_stage])}}};
const char *const rt_script_codes[RT_MOST_SCRIPTS] = {{
    {numbers(quoted, 12)}}};
""")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
