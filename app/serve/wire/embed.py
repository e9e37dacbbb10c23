#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: embed.py PAGE.html OUT.c

Writes a page as C bytes, and the Content-Security-Policy that allows the style and script elements in it, by their
hashes, and nothing else."""
import base64
import hashlib
import re
import sys


def hashes(page, tag):
    bodies = re.findall(rb"<" + tag + rb"\b[^>]*>(.*?)</" + tag + rb">", page, re.S)
    found = ["'sha256-" + base64.b64encode(hashlib.sha256(body).digest()).decode() + "'" for body in bodies]
    return " ".join(found) or "'none'"


def main():
    with open(sys.argv[1], "rb") as file:
        page = file.read()
    policy = (f"default-src 'none'; script-src {hashes(page, b'script')}; style-src {hashes(page, b'style')}; "
              "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
    rows = [", ".join(map(str, page[i:i + 24])) for i in range(0, len(page), 24)]
    with open(sys.argv[2], "w", encoding="ascii") as out:
        out.write('#include "serve/wire/page.h"\n\nconst unsigned char srv_page[] = {\n    ' + ",\n    ".join(rows) + "};\n"
                  "const size_t srv_page_size = sizeof srv_page;\n"
                  f'const char srv_page_policy[] = "{policy}";\n')


main()
