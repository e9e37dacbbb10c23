# SPDX-License-Identifier: Apache-2.0
"""Parquet and Arrow files through pyarrow: each row answered, batch by batch; when all are, the output is written from input and answers."""
import argparse
import contextlib
import json
import os
import re
import sys
import time

import numpy

from ._library import Error
from ._model import UNPACK, Model, best_columns
from ._parts import Parts, WriteError, digest, writing

FORMATS = {".parquet": "Parquet", ".pq": "Parquet", ".arrow": "Arrow", ".feather": "Arrow"}
USUAL = ("sentence", "text", "sentence1", "question", "premise", "anchor")  # as the command has them
PYARROW = 16  # the first with string views
BATCH_ROWS = 8192
FIRST_ROWS, CALL_SECONDS = 128, 1  # of calls of the library, between which Ctrl-C is heard and progress told
GROUP_ROWS, GROUP_BYTES = 1 << 17, 1 << 26  # of a row group that is written
SAVE_SECONDS, SAVE_BYTES = 10, 1 << 26  # what a kill can cost, and answers that wait in memory


def format_of(path):
    """"Parquet" or "Arrow" by the end of a name; None: neither."""
    return FORMATS.get(os.path.splitext(os.fspath(path))[1].lower())


def _pyarrow():
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.dataset
        import pyarrow.parquet
    except ImportError as error:
        raise Error(f"Parquet and Arrow files need pyarrow: pip install pyarrow ({error})", "PROVIDER") from None
    if int(pyarrow.__version__.partition(".")[0]) < PYARROW:
        raise Error(f"Parquet and Arrow files need pyarrow {PYARROW} or later, found {pyarrow.__version__}: pip install -U pyarrow", "PROVIDER")
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
    try:
        rows = pyarrow.dataset.dataset(path, format="ipc").count_rows()  # by the batches' headers alone
    except pyarrow.ArrowInvalid:  # columns of one name
        rows = 0
    return file.schema, (file.get_batch(i) for i in range(file.num_record_batches)), rows


def _parquet_file(pyarrow, path):
    """Read piece by piece: pyarrow's default keeps whatever was read of the file."""
    file = pyarrow.parquet.ParquetFile(pyarrow.OSFile(path), pre_buffer=False, buffer_size=1 << 20)
    groups = range(file.metadata.num_row_groups)
    mean = sum(file.metadata.row_group(i).total_byte_size for i in groups) // max(file.metadata.num_rows, 1)
    return file.schema_arrow, file.iter_batches(max(1, min(BATCH_ROWS, GROUP_BYTES // max(mean, 1)))), file.metadata.num_rows


def _open(pyarrow, path):
    """(schema, record batches, rows or 0) of a file."""
    try:
        os.stat(path)  # whose words are the system's
        found = (_arrow_file if format_of(path) == "Arrow" else _parquet_file)(pyarrow, path)
        list(found[0].names)  # raises if one is not UTF-8
        return found
    except UnicodeDecodeError as error:
        raise Error(f"{path}: the name of a column is not UTF-8: {error}", "FORMAT") from None
    except (pyarrow.ArrowException, OSError) as error:
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


def _check(pyarrow, column):
    """Offsets, views and indices of a column of an Arrow file, which its reader trusts: a damaged file would end the process. Strings
    that are not UTF-8 may be, and are told apart by pyarrow's words: it checks their offsets first."""
    try:
        column.validate(full=True)
    except pyarrow.ArrowInvalid as error:
        if "UTF8" not in str(error):
            raise
        if isinstance(column, pyarrow.DictionaryArray):
            pyarrow.DictionaryArray.from_arrays(column.indices, pyarrow.nulls(len(column.dictionary))).validate(full=True)


def _batches(pyarrow, path, first, rows):
    """The record batches of a file from row `first` on, at most BATCH_ROWS each, `rows` (None: all) with those before. Errors name the file."""
    at, batches = 0, _open(pyarrow, path)[1]
    try:
        for whole in batches:
            whole = whole if rows is None else whole.slice(0, rows - at)
            for begin in range(max(first - at, 0), len(whole), BATCH_ROWS):
                batch = whole.slice(begin, BATCH_ROWS)
                for column in batch.columns if format_of(path) == "Arrow" else ():
                    _check(pyarrow, column)
                yield batch
            at += len(whole)
            if at == rows:
                return
    except (pyarrow.ArrowException, OSError) as error:
        raise Error(f"{path}: {error}", "FORMAT") from None


def _writer(pyarrow, path, sink, schema):
    """Of the format that the name says. Error if it has none of the column types."""
    try:
        return (pyarrow.parquet.ParquetWriter if format_of(path) == "Parquet" else pyarrow.ipc.new_file)(sink, schema)
    except pyarrow.ArrowException as error:
        raise Error(f"{path}: {format_of(path)} files cannot have these columns: {error}", "FORMAT") from None


class _Groups:
    """Record batches on their way to a writer. Parquet gets them as row groups of a good size: each has its own statistics and headers."""

    def __init__(self, pyarrow, writer, parquet):
        self._pyarrow, self._writer, self._parquet = pyarrow, writer, parquet
        self._waiting, self._rows, self._bytes = [], 0, 0

    def put(self, batch):
        if not self._parquet:
            self._writer.write_batch(batch)
            return
        self._waiting.append(batch)
        self._rows, self._bytes = self._rows + len(batch), self._bytes + batch.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self.end()

    def end(self):
        if self._waiting:
            self._writer.write_table(self._pyarrow.Table.from_batches(self._waiting))
        self._waiting, self._rows, self._bytes = [], 0, 0


@contextlib.contextmanager
def _written(pyarrow, path, part, schema):
    """Takes record batches; the file has its name when it is whole. A link is written through."""
    try:
        with open(part, "wb") as sink:
            with _writer(pyarrow, path, sink, schema) as writer:
                groups = _Groups(pyarrow, writer, format_of(path) == "Parquet")
                yield groups
                groups.end()
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(part, os.path.realpath(path))
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(part)
        if not isinstance(error, pyarrow.ArrowException):
            raise
        raise Error(f"{path}: cannot write {format_of(path)}: {error}", "FORMAT") from None


# ---- Dictionaries ----


def _dictionaries(pyarrow, table, output):
    """The values of each column that is a dictionary, by its index: an Arrow file has one dictionary for all rows, where Parquet files and
    streams have others for each group of rows. Reads all rows."""
    compute, schema = pyarrow.compute, table["schema"]
    found = {} if format_of(output) == "Parquet" else {
        i: pyarrow.array([], field.type.value_type) for i, field in enumerate(schema) if pyarrow.types.is_dictionary(field.type)}
    for batch in _batches(pyarrow, table["source"], 0, table["rows"]) if found else ():
        for i, known in found.items():
            new = batch[i].dictionary
            if not new.equals(known):
                found[i] = pyarrow.concat_arrays([known, new.filter(compute.invert(compute.is_in(new, value_set=known))).unique()])
    return found


def _widened(pyarrow, schema, dictionaries):
    """The schema, with indices that reach all values of each dictionary."""
    for i, values in dictionaries.items():
        kind = schema.field(i).type
        if len(values) > 1 << (kind.index_type.bit_width - 1):
            schema = schema.set(i, schema.field(i).with_type(pyarrow.dictionary(pyarrow.int32(), kind.value_type, kind.ordered)))
    return schema


def _column(pyarrow, column, kind, values, parquet):
    """A column as its file can have it: with the values of all rows; for Parquet, without nulls among the values of a dictionary."""
    if values is not None and not values.equals(column.dictionary):
        indices = pyarrow.compute.index_in(column.dictionary, value_set=values).take(column.indices)
        return pyarrow.DictionaryArray.from_arrays(indices.cast(kind.index_type), values, ordered=kind.ordered)
    if parquet and pyarrow.types.is_dictionary(kind) and column.dictionary.null_count:
        plain = column.dictionary_decode().dictionary_encode()
        return pyarrow.DictionaryArray.from_arrays(plain.indices.cast(kind.index_type), plain.dictionary, ordered=kind.ordered)
    return column if column.type == kind else column.cast(kind)


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


def _lists(pyarrow, vectors, kind):
    """Lists of a fixed size as lists, where a null has no numbers: what all readers of Parquet take. pyarrow to 21 writes no others, and to
    25 reads no nulls among lists of a fixed size."""
    valid = vectors.is_valid()
    offsets = numpy.concatenate([[0], numpy.cumsum(valid.to_numpy(zero_copy_only=False) * vectors.type.list_size)]).astype(numpy.int32)
    return pyarrow.ListArray.from_arrays(offsets, vectors.flatten(), type=kind, mask=pyarrow.compute.invert(valid))


def _answered(pyarrow, model, texts, added):
    """The columns that a batch gets."""
    if len(added) == 3:
        return _all_scores(pyarrow, model, texts, model.labels)
    answer = pyarrow.array(next(model.predict_arrow(texts)))
    if pyarrow.types.is_list(added[0].type):
        return [_lists(pyarrow, answer.field(0), added[0].type)]
    return [answer.field(0).cast(added[0].type), *(answer.field(i) for i in range(1, answer.type.num_fields))]


def _added(pyarrow, model, prefix, scores, parquet):
    if scores and model.task != "classify":
        raise Error(f"scores (--scores): the model was made to {model.task}: expected one that classifies")
    if scores and len(set(model.labels)) < len(model.labels):
        raise Error("scores (--scores): the model has labels of the same name, of which a struct has each once: convert the table to JSON lines", "FORMAT")
    if model.task == "classify":
        number = pyarrow.float32()
        all_scores = [pyarrow.field(prefix + "scores", pyarrow.struct([(label, number) for label in model.labels]))]
        return [pyarrow.field(prefix + "label", pyarrow.string()), pyarrow.field(prefix + "score", number), *(all_scores if scores else [])]
    if model.task == "embed" and not model.info["sparse"]:
        item = pyarrow.field("item", pyarrow.float32(), nullable=False)
        return [pyarrow.field(prefix + "embedding", pyarrow.list_(item) if parquet else pyarrow.list_(item, model.info["labels"]))]
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
    saved, size = time.monotonic(), 0
    said(parts.rows)
    try:
        for piece in _pieces(_batches(pyarrow, table["source"], parts.rows, table["rows"])):
            texts, problems = _checked(pyarrow, piece[table["column"]])
            answers = pyarrow.record_batch([*_answered(pyarrow, table["model"], texts, table["added"]), problems], schema=table["answers"])
            parts.put(answers)
            size += answers.nbytes
            said(parts.rows)
            if time.monotonic() - saved > SAVE_SECONDS or size > SAVE_BYTES:
                parts.save()
                saved, size = time.monotonic(), 0
    finally:
        parts.save()  # an interrupted run goes on from here


# ---- The output ----


def _changed(table, parts):
    return Error(f"{table['source']}: was changed while it was answered: remove {os.path.dirname(parts.output)} to begin anew", "FORMAT")


def _aligned(pyarrow, answers, changed):
    """A function that gives the next n rows of record batches; raises `changed` if there are fewer."""
    rest, answers = [], iter(answers)

    def take(n):
        while sum(map(len, rest)) < n:
            rest.append(next(answers, None))
            if rest[-1] is None:
                raise changed
        whole = pyarrow.Table.from_batches(rest).combine_chunks()
        rest[:] = whole.slice(n).to_batches()
        return whole.slice(0, n)
    return take


class _BadRows:
    """The file of rows without an answer, made when there is one."""

    def __init__(self, path):
        self._path, self._file, self.count = path, None, 0
        self._device = path.startswith("/dev/")  # whatever is behind /dev/stderr

    def __enter__(self):
        if os.path.isfile(self._path) and not self._device:
            os.unlink(os.path.realpath(self._path))  # of another run
        return self

    def __exit__(self, *_):
        if self._file is not None:
            self._file.close()

    def add(self, first, problems):
        """Those among the rows from `first` on; gives their indices."""
        found = [] if problems.null_count == len(problems) else [i for i, problem in enumerate(problems.to_pylist()) if problem is not None]
        for i in found:
            if self._file is None:
                self._file = open(self._path, "a" if self._device else "w", encoding="utf-8")
            self._file.write(json.dumps({"row": first + i, "problem": problems[i].as_py()}) + "\n")
        self.count += len(found)
        return found


def _write(pyarrow, table, parts, output):
    """The rows and their answers, without bad rows. (rows, nulls, bad rows)"""
    answers, done, nulls, schema, parquet = parts.read(), 0, 0, table["schema"], format_of(output) == "Parquet"
    take = _aligned(pyarrow, answers, _changed(table, parts))
    with _written(pyarrow, output, parts.output, schema) as groups, _BadRows(table["bad_rows"]) as bad:
        for batch in _batches(pyarrow, table["source"], 0, table["rows"]):
            found = take(len(batch))
            own = [_column(pyarrow, column, schema.field(i).type, table["dictionaries"].get(i), parquet) for i, column in enumerate(batch.columns)]
            out = pyarrow.record_batch([*own, *(found[i].combine_chunks() for i in range(found.num_columns - 1))], schema=schema)
            good = 0
            for row in [*bad.add(done, found["problem"].combine_chunks()), len(batch)]:
                if row > good:
                    groups.put(out.slice(good, row - good))
                good = row + 1
            done, nulls = done + len(batch), nulls + out[len(own)].null_count
        if next(answers, None) is not None or _state(table["source"]) != table["state"]:
            raise _changed(table, parts)
        return done, nulls - bad.count, bad.count


def _state(path):
    """What tells a file from one that was changed."""
    found = os.stat(path)
    return {"bytes": found.st_size, "modified": found.st_mtime_ns}


def _settings(table, model, prefix, scores, resume):
    """What the answers depend on."""
    known = model._source is not None
    if resume and not known:
        raise Error("resume: a model in memory is not known again: save it, and give its path")
    return {"input": os.path.realpath(table["source"]), **table["state"], "model": digest(model._source) if known else None, "task": model.task,
            "provider": model._options.get("provider"), "special_as_text": bool(model._options.get("special_as_text")),
            "text_column": table["column"], "prefix": prefix, "rows": table["rows"], "scores": bool(scores)}


def _check_names(source, output, bad_rows):
    """Nothing that is read is written over."""
    def same(a, b):
        return os.path.realpath(a) == os.path.realpath(b) or (os.path.exists(a) and os.path.exists(b) and os.path.samefile(a, b))
    for path in (source, output):
        if format_of(path) is None:
            raise Error(f"{path}: expected the name of a Parquet file (.parquet, .pq) or an Arrow file (.arrow, .feather), as of the "
                        f"{'input' if path is output else 'output'}")
    if same(output, source):
        raise Error(f"{output}: would be written over: it is the input")
    if os.path.exists(output) and not os.path.isfile(output):
        raise Error(f"{output}: expected the name of a file: it is a folder or a device")
    if bad_rows is None:
        return
    if same(bad_rows, source) or same(bad_rows, output) or os.path.dirname(os.path.realpath(bad_rows)) == os.path.realpath(output) + ".parts":
        raise Error(f"{bad_rows}: would be written over: it is the input, or another output")


def _table(pyarrow, model, source, output, text_column, prefix, rows, scores, bad_rows):
    """What a run knows of its table: checked before the first row is answered."""
    schema, _, total = _open(pyarrow, source)
    state = _state(source)
    column = _text_column(pyarrow, source, schema, text_column)
    added = _added(pyarrow, model, prefix, scores, format_of(output) == "Parquet")
    for field in added:
        if field.name in schema.names:
            raise Error(f"{source}: there is a column '{field.name}' already: prefix (--prefix) names those that are added")
    table = {"source": source, "state": state, "column": column, "rows": rows, "model": model, "added": added, "bad_rows": bad_rows,
             "total": min(total, rows or total) if total else rows or 0, "schema": schema,
             "answers": pyarrow.schema([*added, pyarrow.field("problem", pyarrow.string())])}
    table["dictionaries"] = _dictionaries(pyarrow, table, output)
    table["schema"] = pyarrow.schema([*_widened(pyarrow, schema, table["dictionaries"]), *added], schema.metadata)
    _writer(pyarrow, output, pyarrow.BufferOutputStream(), table["schema"]).close()
    return table


def run_table(model, source, output, *, text_column=None, prefix="", rows=None, scores=False, bad_rows=None, resume=False, progress=None):
    """Answers each row of a Parquet or Arrow (Feather) file: `output` has its columns and `label` and `score`, or `embedding`. Gives
    {"rows", "nulls", "bad_rows", "seconds", "rows_per_second"}. Needs pyarrow. A null has null answers; memory does not grow with the table.

    model: a Model, or the path or name of one. text_column: default "sentence", "text", …. prefix: put before the names of the columns
    that are added. rows: stop after so many. scores: also `scores`, a struct with that of each label. bad_rows: the file for rows whose
    text is not UTF-8, which the output has not (default: OUTPUT.bad.jsonl). resume: go on with OUTPUT.parts, which a run leaves that was
    killed. progress: progress(what, done, total), first with the rows that are done already, then about once a second; total is 0 if it
    is not known."""
    _check_names(source, output, bad_rows)
    if rows is not None and (not isinstance(rows, int) or not 1 <= rows < 1 << 63):
        raise Error(f"rows: {rows!r}: expected a whole number from 1")
    pyarrow, start, whole = _pyarrow(), time.monotonic(), False
    source, output = os.fspath(source), os.fspath(output)
    model = model if isinstance(model, Model) else Model(model)
    if None not in (bad_rows, model._source) and os.path.realpath(bad_rows) == os.path.realpath(model._source):
        raise Error(f"{bad_rows}: would be written over: it is the model")
    if bad_rows is not None and os.path.isdir(bad_rows):
        raise WriteError(f"{bad_rows}: cannot write: Is a directory")
    table = _table(pyarrow, model, source, output, text_column, prefix, rows, scores, os.fspath(bad_rows or output + ".bad.jsonl"))
    settings = _settings(table, model, prefix, scores, resume)
    parts = Parts(pyarrow, os.path.realpath(output), table["answers"], settings, resume)
    begun = parts.rows
    try:
        _answer(pyarrow, table, parts, (lambda done: progress("rows", done, table["total"])) if progress is not None else lambda done: None)
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
