#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: models.py BUILD [--write docs/models.md | --check docs/models.md]

The tables of docs/models.md, made from the rows that the program has (BUILD/bench/model_rows) and from what it computes
for the tiny checkpoints of test/golden/checkpoints, whose outputs transformers or sentence-transformers computed. --check
fails where the page differs. Only the standard library is needed."""
import argparse
import json
import pathlib
import re
import subprocess
import sys

from blocks import block_of, write_block

GOLDEN = pathlib.Path(__file__).parent.parent / "test" / "golden"
HEADS = {"classify": "ForSequenceClassification", "tag": "ForTokenClassification", "answer": "ForQuestionAnswering",
         "fill": "ForMaskedLM"}


def of(rows, kind):
    return [row for row in rows if row["row"] == kind]


def worst(checkpoints, level):
    return f"{max(c[f'level{level}'] for c in checkpoints):.1e}" if checkpoints else "–"


def trained(checkpoints):
    """All, none, or how many of them."""
    count = sum(c["trained"] for c in checkpoints)
    return "yes" if count == len(checkpoints) else f"{count} of {len(checkpoints)}" if count else "no"


def architectures(rows):
    lines = ["| `model_type` | classes | tiny checkpoints: heads | difference, level 0 | level 3 | trains |",
             "|---|---|---|---|---|---|"]
    for arch in of(rows, "architecture"):
        mine = [c for c in of(rows, "checkpoint") if c["type"] == arch["type"]]
        tasks = [f"{sum(c['task'] == task for c in mine)} {task}" for task in (*HEADS, "embed")
                 if any(c["task"] == task for c in mine)]
        classes = ", ".join(["Model", *(HEADS[head] for head in arch["heads"])])
        lines.append(f"| `{arch['type']}` | {arch['class']}: {classes} | {', '.join(tasks) or '–'} | {worst(mine, 0)} | "
                     f"{worst(mine, 3)} | {trained(mine) if mine else '–'} |")
    return lines


def operators(rows):
    lines = ["| operator | levels | inputs | attributes | checkpoints, level 0 | level 3 |", "|---|---|---|---|---|---|"]
    for op in of(rows, "operator"):
        inputs = f"{op['least']}" if op["least"] == op["most"] else f"{op['least']} to {op['most']}"
        uses = [sum(op["name"] in c[f"operators{level}"] for c in of(rows, "checkpoint")) for level in (0, 3)]
        lines.append(f"| `{op['name']}` | {'0' if op['plain'] else op['level']} to 3 | {inputs} | "
                     f"{', '.join(op['attributes']) or '–'} | {uses[0]} | {uses[1]} |")
    return lines


def objects(part):
    """A JSON value's objects: itself and what is in it."""
    if isinstance(part, dict):
        yield part
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from objects(inner)


def components(rows):
    lines = ["| part | type | tokenizers of the tests with it |", "|---|---|---|"]
    files = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(GOLDEN.rglob("*.json"))]
    tokenizers = [part for file in files for part in objects(file) if "pre_tokenizer" in part]
    for row in of(rows, "component"):
        count = sum(any(part.get("type") == row["type"] for part in objects(tokenizer.get(row["part"])))
                    for tokenizer in tokenizers)
        lines.append(f"| {row['part']} | `{row['type']}` | {count} |")
    return lines


def without_differences(text):
    """Other versions of the C library have another exp: the last digits of a difference are not the page's business."""
    return re.sub(r"[0-9.]+e-[0-9]+", "", text or "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--write")
    parser.add_argument("--check")
    args = parser.parse_args()
    out = subprocess.run([args.build / "bench" / "model_rows", GOLDEN / "checkpoints"], check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = [json.loads(line) for line in out.splitlines()]
    tables = {"architectures": architectures(rows), "operators": operators(rows), "components": components(rows)}
    stale = []
    for name, lines in tables.items():
        text = "\n".join(lines) + "\n"
        if args.write:
            write_block(args.write, name, text)
        elif args.check and without_differences(block_of(args.check, name)) != without_differences(text):
            stale.append(name)
        elif not args.check:
            print(text)
    if stale:
        sys.exit(f"{args.check}: {', '.join(stale)} differ: bench/models.py BUILD --write {args.check}")


if __name__ == "__main__":
    main()
