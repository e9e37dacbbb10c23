# SPDX-License-Identifier: Apache-2.0
"""Parquet and Arrow files through pyarrow: each row answered, batch by batch; when all are, the output is written from input and answers."""
import argparse
import contextlib
import json
import os
import re
import sys
import tempfile
import time

import numpy

from ._library import Error
from ._model import UNPACK, Model, best_columns
from ._parts import Parts, WriteError, digest, writing

FORMATS = {".parquet": "Parquet", ".pq": "Parquet", ".arrow": "Arrow", ".feather": "Arrow"}
USUAL = ("sentence", "text", "sentence1", "question", "premise", "anchor")  # as the command has them
BATCH_ROWS = 8192
FIRST_ROWS, CALL_SECONDS = 128, 1  # of calls of the library, between which Ctrl-C is heard and progress told
SAVE_SECONDS = 10  # what a kill can cost


def format_of(path):
    """"Parquet" or "Arrow" by the end of a name; None: neither."""
    return FORMATS.get(os.path.splitext(os.fspath(path))[1].lower())


def _pyarrow():
    try:
        import pyarrow
        import pyarrow.dataset
        import pyarrow.parquet
    except ImportError as error:
        raise Error(f"Parquet and Arrow files need pyarrow: pip install pyarrow ({error})", "PROVIDER") from None
    return pyarrow


def _arrow_file(pyarrow, path):
    """Either form of Arrow's IPC: a file, which Feather version 2 is, or a stream."""
    source = pyarrow.memory_map(path)
    if source.read(4) == b"FEA1":
        raise Error(f"{path}: Feather version 1: expected version 2, which pyarrow.feather.write_feather writes", "FORMAT")
    source.seek(0)
    try:
        file = pyarrow.ipc.open_file(source)
    except pyarrow.ArrowInvalid:
        source.seek(0)
        stream = pyarrow.ipc.open_stream(source)
        return stream.schema, iter(stream), 0
    rows = pyarrow.dataset.dataset(path, format="ipc").count_rows()  # by the batches' headers alone
    return file.schema, (file.get_batch(i) for i in range(file.num_record_batches)), rows


def _open(pyarrow, path):
    """(schema, record batches, rows or 0) of a file."""
    try:
        os.stat(path)  # whose words are the system's
        if format_of(path) == "Arrow":
            return _arrow_file(pyarrow, path)
        file = pyarrow.parquet.ParquetFile(path)
        return file.schema_arrow, file.iter_batches(BATCH_ROWS), file.metadata.num_rows
    except (pyarrow.ArrowInvalid, OSError) as error:
        said = isinstance(error, OSError) and error.strerror
        raise Error(f"{path}: {'cannot open: ' + said if said else error}", "IO" if said else "FORMAT") from None


def _text_column(pyarrow, path, schema, wanted):
    names = schema.names
    chosen = [wanted] if wanted is not None else USUAL
    found = next((name for name in chosen if name in names), None)
    if found is None:
        missing = f"no column '{wanted}'" if wanted is not None else "no column 'sentence' or 'text': name the one with the texts (--text-column, text_column=)"
        raise Error(f"{path}: {missing}; there are {', '.join(map(repr, names))}", "FORMAT")
    if names.count(found) > 1:
        raise Error(f"{path}: {names.count(found)} columns are named '{found}'", "FORMAT")
    kind = schema.field(found).type
    of = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    if of not in (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()):
        raise Error(f"{path}: column '{found}' is {kind}: expected texts: string, large_string, string_view, or a dictionary of them", "FORMAT")
    return found


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _batches(pyarrow, path, first, rows):
    """The record batches of a file from row `first` on, at most BATCH_ROWS each, `rows` (None: all) with those before. Errors name the file."""
    at, batches = 0, _open(pyarrow, path)[1]
    try:
        for whole in batches:
            whole = whole if rows is None else whole.slice(0, rows - at)
            for begin in range(max(first - at, 0), len(whole), BATCH_ROWS):
                yield whole.slice(begin, BATCH_ROWS)
            at += len(whole)
            if at == rows:
                return
    except (pyarrow.ArrowException, OSError) as error:
        raise Error(f"{path}: {error}", "FORMAT") from None


@contextlib.contextmanager
def _written(pyarrow, path, schema):
    """A writer of record batches; the file has its name when it is whole. A link is written through."""
    path = os.path.realpath(path)
    handle, part = tempfile.mkstemp(".part", os.path.basename(path) + ".", os.path.dirname(path))
    try:
        with open(handle, "wb") as sink:
            os.fchmod(handle, 0o666 & ~_umask())
            new = pyarrow.parquet.ParquetWriter if format_of(path) == "Parquet" else pyarrow.ipc.new_file
            with new(sink, schema) as writer:
                yield writer
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


# ---- Answers ----


def _text_of(value):
    """(text, None), or (None, what is wrong with it)."""
    try:
        return None if value is None else value.decode(), None
    except UnicodeDecodeError as error:
        return None, f"not UTF-8 from byte {error.start} on"


def _checked(pyarrow, column):
    """(texts, problems): what is not UTF-8, which files are not checked for, is null and has a problem."""
    try:
        column.validate(full=True)
        return column, pyarrow.nulls(len(column), pyarrow.string())
    except pyarrow.ArrowInvalid:
        if isinstance(column, pyarrow.DictionaryArray):
            column = column.dictionary_decode()
        texts, problems = zip(*map(_text_of, column.cast(pyarrow.large_binary()).to_pylist()))
        return pyarrow.array(texts, pyarrow.large_string()), pyarrow.array(problems, pyarrow.string())


def _all_scores(pyarrow, model, texts, names):
    """label, score, and the scores of all labels, which predict_arrow does not give."""
    items = texts.to_pylist()
    valid = numpy.array([item is not None for item in items], bool)
    place = numpy.where(valid, numpy.cumsum(valid) - 1, 0)
    found = model.scores([item for item in items if item is not None])
    best = best_columns(found, 1)[:, 0]

    def spread(values, kind):
        return pyarrow.array(values[place] if len(values) else numpy.zeros(len(place), values.dtype), kind, mask=~valid)
    labels, numbers = numpy.array(model.labels, object)[best], found[numpy.arange(len(best)), best]
    scores = pyarrow.StructArray.from_arrays([spread(found[:, i], pyarrow.float32()) for i in range(found.shape[1])], names, mask=pyarrow.array(~valid))
    return [spread(labels, pyarrow.string()), spread(numbers, pyarrow.float32()), scores]


def _answered(pyarrow, model, texts, added):
    """The columns that a batch gets."""
    if len(added) == 3:
        return _all_scores(pyarrow, model, texts, model.labels)
    answer = pyarrow.array(next(model.predict_arrow(texts)))
    return [answer.field(0).cast(added[0].type), *(answer.field(i) for i in range(1, answer.type.num_fields))]


def _added(pyarrow, model, prefix, scores):
    if scores and model.task != "classify":
        raise Error(f"scores (--scores): the model was made to {model.task}: expected one that classifies")
    if model.task == "classify":
        number = pyarrow.float32()
        all_scores = [pyarrow.field(prefix + "scores", pyarrow.struct([(label, number) for label in model.labels]))]
        return [pyarrow.field(prefix + "label", pyarrow.string()), pyarrow.field(prefix + "score", number), *(all_scores if scores else [])]
    if model.task == "embed" and not model.info["sparse"]:
        item = pyarrow.field("item", pyarrow.float32(), nullable=False)
        return [pyarrow.field(prefix + "embedding", pyarrow.list_(item, model.info["labels"]))]
    raise Error(f"the model was made to {model.task}: Parquet and Arrow files get labels, or vectors that are dense: convert the table to JSON lines")


def _pieces(batches):
    """Slices of batches, for each of which the caller takes about CALL_SECONDS."""
    size = FIRST_ROWS
    for batch in batches:
        at = 0
        while at < len(batch):
            piece, begun = batch.slice(at, size), time.monotonic()
            yield piece
            at += len(piece)
            rate = len(piece) / max(time.monotonic() - begun, 1e-3)
            size = max(1, min(int(rate * CALL_SECONDS), 4 * size, BATCH_ROWS))


def _answer(pyarrow, table, parts, said):
    """Answers the rows that have none yet."""
    schema = pyarrow.schema([*table["added"], pyarrow.field("problem", pyarrow.string())])
    waiting, saved, done = [], time.monotonic(), parts.rows
    said(done)
    try:
        for piece in _pieces(_batches(pyarrow, table["source"], parts.rows, table["rows"])):
            texts, problems = _checked(pyarrow, piece[table["column"]])
            waiting.append(pyarrow.record_batch([*_answered(pyarrow, table["model"], texts, table["added"]), problems], schema=schema))
            done += len(piece)
            said(done)
            if time.monotonic() - saved > SAVE_SECONDS:
                parts.add(waiting)
                waiting, saved = [], time.monotonic()
    finally:
        parts.add(waiting)  # an interrupted run goes on from here


# ---- The output ----


def _aligned(pyarrow, answers):
    """A function that gives the next n rows of record batches."""
    rest, answers = [], iter(answers)

    def take(n):
        while sum(map(len, rest)) < n:
            rest.append(next(answers, None))
            if rest[-1] is None:
                raise Error("the input has got more rows while it was answered: begin anew", "FORMAT")
        whole = pyarrow.Table.from_batches(rest).combine_chunks()
        rest[:] = whole.slice(n).to_batches()
        return whole.slice(0, n)
    return take


class _BadRows:
    """The file of rows without an answer, made when there is one."""

    def __init__(self, path):
        self._path, self._file, self.count = path, None, 0

    def __enter__(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)  # of another run
        return self

    def __exit__(self, *_):
        if self._file is not None:
            self._file.close()

    def add(self, first, problems):
        """Those among the rows from `first` on; gives their indices."""
        found = [] if problems.null_count == len(problems) else [i for i, problem in enumerate(problems.to_pylist()) if problem is not None]
        for i in found:
            if self._file is None:
                self._file = open(self._path, "w", encoding="utf-8")
            self._file.write(json.dumps({"row": first + i, "problem": problems[i].as_py()}) + "\n")
        self.count += len(found)
        return found


def _write(pyarrow, table, parts, output):
    """The rows and their answers, without bad rows. (rows, nulls, bad rows)"""
    take, done, nulls = _aligned(pyarrow, parts.read()), 0, 0
    with _written(pyarrow, output, table["schema"]) as writer, _BadRows(table["bad_rows"]) as bad:
        for batch in _batches(pyarrow, table["source"], 0, table["rows"]):
            answers = take(len(batch))
            problems = answers["problem"].combine_chunks()
            columns = [*batch.columns, *(answers[i].combine_chunks() for i in range(answers.num_columns - 1))]
            out, good = pyarrow.record_batch(columns, schema=table["schema"]), 0
            for row in bad.add(done, problems):
                writer.write_batch(out.slice(good, row - good))
                good = row + 1
            writer.write_batch(out.slice(good))
            done, nulls = done + len(batch), nulls + batch[table["column"]].null_count
        return done, nulls, bad.count


def _settings(table, model, prefix, scores, resume):
    """What the answers depend on."""
    found = os.stat(table["source"])
    known = model._source is not None
    if resume and not known:
        raise Error("resume: a model in memory is not known again: save it, and give its path")
    return {"input": os.path.realpath(table["source"]), "bytes": found.st_size, "modified": found.st_mtime_ns,
            "model": digest(model._source) if known else None, "text_column": table["column"], "prefix": prefix, "rows": table["rows"], "scores": scores}


def _check_names(source, output, bad_rows):
    for path in (source, output):
        if format_of(path) is None:
            raise Error(f"{path}: expected the name of a Parquet file (.parquet, .pq) or an Arrow file (.arrow, .feather), as of the "
                        f"{'input' if path is output else 'output'}")
    if os.path.realpath(output) == os.path.realpath(source):
        raise Error(f"{output}: would be written over: it is the input")
    if bad_rows is not None and os.path.realpath(bad_rows) in map(os.path.realpath, (source, output)):
        raise Error(f"{bad_rows}: would be written over: it is the input, or another output")


def run_table(model, source, output, *, text_column=None, prefix="", rows=None, scores=False, bad_rows=None, resume=False, progress=None):
    """Answers each row of a Parquet or Arrow (Feather) file: `output` has its columns and `label` and `score`, or `embedding`. Gives
    {"rows", "nulls", "bad_rows", "seconds", "rows_per_second"}. Needs pyarrow. A null has null answers; memory does not grow with the table.

    model: a Model, or the path or name of one. text_column: default "sentence", "text", …. prefix: put before the names of the columns
    that are added. rows: stop after so many. scores: also `scores`, a struct with that of each label. bad_rows: the file for rows whose
    text is not UTF-8, which the output has not (default: OUTPUT.bad.jsonl). resume: go on with OUTPUT.parts, which a run leaves that was
    killed. progress: progress(what, done, total), first with the rows that are done already, then about once a second; total is 0 if it
    is not known."""
    _check_names(source, output, bad_rows)
    if rows is not None and rows < 1:
        raise Error(f"rows: {rows}: expected a whole number from 1")
    pyarrow = _pyarrow()
    source, output = os.fspath(source), os.fspath(output)
    schema, _, total = _open(pyarrow, source)
    column = _text_column(pyarrow, source, schema, text_column)
    model = model if isinstance(model, Model) else Model(model)
    added = _added(pyarrow, model, prefix, scores)
    for field in added:
        if field.name in schema.names:
            raise Error(f"{source}: there is a column '{field.name}' already: prefix (--prefix) names those that are added")
    table = {"source": source, "column": column, "rows": rows, "model": model, "added": added,
             "schema": pyarrow.schema([*schema, *added], schema.metadata), "bad_rows": bad_rows or output + ".bad.jsonl"}
    total, whole, start = min(total, rows or total) if total else rows or 0, False, time.monotonic()
    settings = _settings(table, model, prefix, scores, resume)
    parts = Parts(pyarrow, os.path.realpath(output), settings, resume)
    begun = parts.rows
    try:
        _answer(pyarrow, table, parts, (lambda done: progress("rows", done, total)) if progress is not None else lambda done: None)
        with writing(output):
            done, nulls, bad = _write(pyarrow, table, parts, output)
        whole = True
    finally:
        parts.close(whole)
    seconds = time.monotonic() - start
    return {"rows": done, "nulls": nulls, "bad_rows": bad, "seconds": seconds, "rows_per_second": (done - begun) / max(seconds, 1e-9)}


# ---- The command ----

EXIT = {"ARGUMENT": 2, "PROVIDER": 5, "NOMEM": 1, "CANCELLED": 1, "NONFINITE": 1}  # by status; 3 of others
FILES = re.compile(r"(?:--input=|--output=|-[io])(.+)", re.DOTALL)


def is_ours(arguments):
    """Whether this is `run --input FILE` of which input or output is a Parquet or Arrow file."""
    if arguments[:1] != ["run"]:
        return False
    values = [after for option, after in zip(arguments, arguments[1:]) if option in ("--input", "-i", "--output", "-o")]
    return any(map(format_of, values + [found[1] for found in map(FILES.fullmatch, arguments) if found]))


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
        _check_names(chosen.input, chosen.output, chosen.bad_rows)
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
    bad = result["bad_rows"]
    if chosen.json:
        print(json.dumps(result))
    else:
        aside = f", {bad} bad rows in {chosen.bad_rows or chosen.output + '.bad.jsonl'}" if bad else ""
        sys.stderr.write(f"retort: {result['rows']} rows in {result['seconds']:.1f} s ({result['rows_per_second']:.0f} rows/s){aside}\n")
    return 3 if bad and bad == result["rows"] else 0


def _fail(error, code):
    sys.stderr.write(f"retort: {error}\n")
    return code
