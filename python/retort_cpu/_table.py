# SPDX-License-Identifier: Apache-2.0
"""Parquet and Arrow files through pyarrow: each row answered, batch by batch."""
import argparse
import contextlib
import json
import os
import sys
import tempfile
import time

from ._library import Error
from ._model import UNPACK, Model

FORMATS = {".parquet": "Parquet", ".pq": "Parquet", ".arrow": "Arrow", ".feather": "Arrow"}
USUAL = ("sentence", "text", "sentence1", "question", "premise", "anchor")  # as the command has them
BATCH_ROWS = 8192


class Missing(Error):
    """A package is not installed."""


def format_of(path):
    """"Parquet" or "Arrow" by the end of a name; None: neither."""
    return FORMATS.get(os.path.splitext(os.fspath(path))[1].lower())


def _pyarrow():
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise Missing(f"Parquet and Arrow files need pyarrow: pip install pyarrow ({error})", "PROVIDER") from None
    return pyarrow


def _arrow_file(pyarrow, path):
    """Either form of Arrow's IPC: a file, which Feather version 2 is, or a stream."""
    source = pyarrow.memory_map(path)
    try:
        file = pyarrow.ipc.open_file(source)
    except pyarrow.ArrowInvalid:
        source.seek(0)
        stream = pyarrow.ipc.open_stream(source)
        return stream.schema, iter(stream)
    return file.schema, (file.get_batch(i) for i in range(file.num_record_batches))


def _open(pyarrow, path):
    """(schema, record batches) of a file."""
    try:
        if format_of(path) == "Arrow":
            return _arrow_file(pyarrow, path)
        file = pyarrow.parquet.ParquetFile(path)
        return file.schema_arrow, file.iter_batches(BATCH_ROWS)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise Error(f"{path}: {error}", "IO" if isinstance(error, OSError) and error.errno else "FORMAT") from None


def _text_column(path, names, wanted):
    chosen = [wanted] if wanted is not None else USUAL
    found = next((name for name in chosen if name in names), None)
    if found is None:
        missing = f"no column '{wanted}'" if wanted is not None else "no column 'sentence' or 'text': name the one with the texts (--text-column, text_column=)"
        raise Error(f"{path}: {missing}; there are {', '.join(map(repr, names))}")
    if names.count(found) > 1:
        raise Error(f"{path}: {names.count(found)} columns are named '{found}'")
    return found


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _each(pyarrow, path, batches):
    """The record batches, with errors that name the file."""
    try:
        yield from batches
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


def _answered(pyarrow, model, batch, column):
    """The columns that a batch gets."""
    answer = pyarrow.array(next(model.predict_arrow(batch, column)))
    kind = pyarrow.string() if model.task == "classify" else answer.type.field(0).type
    return [answer.field(0).cast(kind), *(answer.field(i) for i in range(1, answer.type.num_fields))]


def _added(pyarrow, model, prefix):
    if model.task == "classify":
        return [pyarrow.field(prefix + "label", pyarrow.string()), pyarrow.field(prefix + "score", pyarrow.float32())]
    if model.task == "embed" and not model.info["sparse"]:
        item = pyarrow.field("item", pyarrow.float32(), nullable=False)
        return [pyarrow.field(prefix + "embedding", pyarrow.list_(item, model.info["labels"]))]
    raise Error(f"the model was made to {model.task}: Parquet and Arrow files get labels, or vectors that are dense: convert the table to JSON lines")


def run_table(model, source, output, *, text_column=None, prefix="", rows=None, progress=None):
    """Answers each row of a Parquet or Arrow (Feather) file: `output` has its columns and `label` and `score`, or `embedding`. Gives
    {"rows", "nulls", "seconds", "rows_per_second"}. Needs pyarrow. A null has null answers; memory does not grow with the table.

    model: a Model, or the path or name of one. text_column: default "sentence", "text", …. prefix: put before the names of the columns
    that are added. rows: stop after so many. progress: progress(what, done, total), after each batch."""
    for path in (source, output):
        if format_of(path) is None:
            raise Error(f"{path}: expected the name of a Parquet file (.parquet, .pq) or an Arrow file (.arrow, .feather)")
    if rows is not None and rows < 1:
        raise Error(f"rows: {rows}: expected a whole number from 1")
    pyarrow = _pyarrow()
    source, output = os.fspath(source), os.fspath(output)
    if os.path.exists(output) and os.path.samefile(source, output):
        raise Error(f"{output}: would be written over: it is the input")
    schema, batches = _open(pyarrow, source)
    column = _text_column(source, schema.names, text_column)
    model = model if isinstance(model, Model) else Model(model)
    added = _added(pyarrow, model, prefix)
    for field in added:
        if field.name in schema.names:
            raise Error(f"{source}: there is a column '{field.name}' already: prefix (--prefix) names those that are added")
    schema = pyarrow.schema([*schema, *added], schema.metadata)
    done, nulls, start = 0, 0, time.monotonic()
    with _written(pyarrow, output, schema) as writer:
        for whole in _each(pyarrow, source, batches):
            whole = whole if rows is None else whole.slice(0, rows - done)
            for first in range(0, len(whole), BATCH_ROWS):
                batch = whole.slice(first, BATCH_ROWS)
                writer.write_batch(pyarrow.record_batch([*batch.columns, *_answered(pyarrow, model, batch, column)], schema=schema))
                done, nulls = done + len(batch), nulls + batch[column].null_count
                if progress is not None:
                    progress("rows", done, rows or 0)
            if done == rows:
                break
    seconds = time.monotonic() - start
    return {"rows": done, "nulls": nulls, "seconds": seconds, "rows_per_second": done / max(seconds, 1e-9)}


# ---- The command ----


def is_ours(arguments):
    """Whether this is `run --input FILE` of a Parquet or Arrow file."""
    if arguments[:1] != ["run"]:
        return False
    values = [after for option, after in zip(arguments, arguments[1:]) if option in ("--input", "-i")]
    return any(map(format_of, values + [word[8:] for word in arguments if word.startswith("--input=")]))


def command(arguments):
    """run --input of a Parquet or Arrow file; the exit code, as README has them."""
    parser = argparse.ArgumentParser(prog="retort run", allow_abbrev=False, description=run_table.__doc__.split("\n")[0],
                                     epilog="Further options of `retort run --input` are for TSV, CSV and JSON lines.")
    parser.add_argument("model", nargs="?", default="sentiment")
    parser.add_argument("--input", "-i", required=True)
    parser.add_argument("--output", "-o", required=True)
    parser.add_argument("--text-column")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--isa")
    parser.add_argument("--unpack", choices=UNPACK)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments[1:])
    if chosen.rows is not None and chosen.rows < 1:
        parser.error(f"--rows {chosen.rows}: expected a whole number from 1")
    try:
        model = Model(chosen.model, threads=chosen.threads, isa=chosen.isa, unpack=chosen.unpack)
        result = run_table(model, chosen.input, chosen.output, text_column=chosen.text_column, prefix=chosen.prefix, rows=chosen.rows)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except Missing as error:
        return _fail(error, 5)
    except (Error, OSError) as error:
        return _fail(error, 1 if isinstance(error, OSError) else 3)
    if chosen.json:
        print(json.dumps(result))
    else:
        sys.stderr.write(f"retort: {result['rows']} rows in {result['seconds']:.1f} s ({result['rows_per_second']:.0f} rows/s)\n")
    return 0


def _fail(error, code):
    sys.stderr.write(f"retort: {error}\n")
    return code
