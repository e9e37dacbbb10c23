# SPDX-License-Identifier: Apache-2.0
"""The command `retort run --input FILE` of a Parquet or Arrow file."""
import argparse
import json
import sys
import time

from ._library import Error
from ._model import UNPACK, Model
from ._parts import WriteError
from ._table import check_names, run_table

EXIT = {"ARGUMENT": 2, "PROVIDER": 5, "NOMEM": 1, "CANCELLED": 1, "NONFINITE": 1}  # by status; 3 of others


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        if message.startswith("unrecognized arguments: "):
            message += ": Parquet and Arrow files have fewer options than TSV, CSV and JSON lines"
        sys.stderr.write(f"retort: {message}\nusage: retort run [MODEL] --input IN -o OUT [options]; 'retort run --input IN.parquet --help' shows more\n")
        sys.exit(2)


def _from(least, most):
    """A whole number in that range."""
    def number(text):
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {least} to {most}")
        return int(text)
    return number


def _options(arguments):
    parser = _Parser(prog="retort run", usage="retort run [MODEL] --input IN.parquet -o OUT.parquet [options]", allow_abbrev=False,
                     description="Answers each row of a Parquet or Arrow (Feather) file: OUT has all columns, and label and score, or embedding.",
                     epilog="`retort run --help` has the options for texts and for TSV, CSV and JSON lines.")
    parser.add_argument("model", metavar="MODEL", nargs="?", default="sentiment", help="a file, or the name of one (default: sentiment)")
    parser.add_argument("-i", "--input", metavar="FILE", required=True, help="the table: .parquet, .pq, .arrow or .feather")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="where the rows and their answers go: the same endings")
    parser.add_argument("--text-column", metavar="NAME", help="column of the texts (default: sentence, text, sentence1, question, premise or anchor)")
    parser.add_argument("--prefix", metavar="NAME", default="", help="put this before the names of the columns that are added")
    parser.add_argument("--rows", metavar="N", type=_from(1, 2**31 - 1), help="stop after N rows")
    parser.add_argument("--scores", action="store_true", help="also add a column with the scores of all labels: a struct")
    parser.add_argument("--bad-rows", metavar="FILE", help="write rows whose text is not UTF-8 to FILE (default: the output with .bad.jsonl added)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was killed")
    parser.add_argument("--threads", metavar="N", type=_from(0, 1024), help="threads to use (default: one per core)")
    parser.add_argument("--isa", choices=("ref", "avx2", "vnni", "amx", "neon"), help="use no instructions above this tier")
    parser.add_argument("--unpack", choices=UNPACK, help="whether weights of fewer than 8 bits are unpacked to int8 in memory (default: auto)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    chosen = parser.parse_args(arguments[1:])
    try:
        check_names(chosen.input, chosen.output, chosen.bad_rows)
    except Error as error:
        parser.error(str(error))
    return chosen


def _bar():
    """progress of run_table for a terminal: rows, their rate and the time left; None if stderr is none."""
    if not sys.stderr.isatty():
        return None
    begun = last = None

    def say(_, done, total):
        nonlocal begun, last
        now = time.monotonic()
        begun = begun or (now, done)
        if last is not None and now - last < 0.2 and done != total:
            return
        last, rate = now, (done - begun[1]) / max(now - begun[0], 1e-9)
        of, speed = f" of {total:,}" if total else "", f", {rate:,.0f} rows/s" if rate > 0 else ""
        left = f", {(total - done) / rate:,.0f} s left" if total and rate > 0 else ""
        sys.stderr.write(f"\r\033[K{done:,}{of} rows{speed}{left}" + ("\r\033[K" if done == total else ""))
        sys.stderr.flush()
    return say


def command(arguments):
    """run --input of a Parquet or Arrow file; the exit code, as README has them."""
    chosen = _options(arguments)
    try:
        model = Model(chosen.model, threads=chosen.threads, isa=chosen.isa, unpack=chosen.unpack)
        result = run_table(model, chosen.input, chosen.output, text_column=chosen.text_column, prefix=chosen.prefix, rows=chosen.rows,
                           scores=chosen.scores, bad_rows=chosen.bad_rows, resume=chosen.resume, progress=_bar())
    except KeyboardInterrupt:
        return _fail("interrupted: --resume goes on", 130)
    except Error as error:
        return _fail(error, 1 if isinstance(error, WriteError) else EXIT.get(error.status, 3))
    bad, cut = result["bad_rows"], result["truncated"]
    if chosen.json:
        print(json.dumps(result))
    else:
        aside = f", {bad} bad rows in {chosen.bad_rows or chosen.output + '.bad.jsonl'}" if bad else ""
        sys.stderr.write(f"retort: {result['rows']} rows in {result['seconds']:.1f} s ({result['rows_per_second']:.0f} rows/s){aside}\n")
        if cut:
            sys.stderr.write(f"retort: {cut} of {result['rows']} texts were truncated: the model reads at most {model.info['max_length']} tokens\n")
    return 3 if bad and bad == result["rows"] else 0


def _fail(error, code):
    sys.stderr.write(f"retort: {error}\n")
    return code
