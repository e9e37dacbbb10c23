# SPDX-License-Identifier: Apache-2.0
"""Parquet and Arrow files: each row answered, batch by batch; when all are, the output is written from input and answers."""
import json
import os
import time

import numpy

from ._files import as_stored, count_rows, dictionaries, is_utf8, need_pyarrow, new_writer, open_file, record_batches, widened, written
from ._formats import format_of
from ._library import Error
from ._model import Model, best_columns
from ._parts import Parts, WriteError, digest, writing

USUAL = ("sentence", "text", "sentence1", "question", "premise", "anchor")  # as the command has them
FIRST_ROWS, CALL_SECONDS = 128, 1  # of calls of the library, between which Ctrl-C is heard and progress told
SAVE_SECONDS, SAVE_BYTES = 10, 1 << 26  # what a kill can cost, and answers that wait in memory


# ---- Answers ----


def _text_of(value):
    """(text, None), or (None, what is wrong with it)."""
    try:
        return None if value is None else value.decode(), None
    except UnicodeDecodeError as error:
        return None, f"not UTF-8 from byte {error.start} on"


def _checked(pyarrow, path, column):
    """(texts, problems): what is not UTF-8, which files are not checked for, is null and has a problem."""
    try:
        if is_utf8(pyarrow, column):
            return column, pyarrow.nulls(len(column), pyarrow.string())
    except pyarrow.ArrowInvalid as error:
        raise Error(f"{path}: {error}", "FORMAT") from None
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
            size = max(1, min(int(rate * CALL_SECONDS), 4 * size))


def _answer(pyarrow, table, parts, said):
    """Answers the rows that have none yet."""
    saved, size = time.monotonic(), 0
    said(parts.rows)
    try:
        for piece in _pieces(record_batches(pyarrow, table["source"], parts.rows, table["rows"], table["column"])):
            (texts, problems), before = _checked(pyarrow, table["source"], piece[table["column"]]), table["model"].truncated
            columns = [*_answered(pyarrow, table["model"], texts, table["added"]), problems]
            truncated = numpy.zeros(len(piece), numpy.int64)
            truncated[0] = table["model"].truncated - before
            # Not pyarrow.array, which imports pandas for a second, here and in what follows
            columns.append(pyarrow.Array.from_buffers(pyarrow.int64(), len(piece), [None, pyarrow.py_buffer(truncated)]))
            answers = pyarrow.record_batch(columns, schema=table["answers"])
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
    """The rows and their answers, without bad rows. Gives what run_table counts."""
    answers, done, nulls, truncated, schema, parquet = parts.read(), 0, 0, 0, table["schema"], format_of(output) == "Parquet"
    take = _aligned(pyarrow, answers, _changed(table, parts))
    with written(pyarrow, output, parts.output, schema) as groups, _BadRows(table["bad_rows"]) as bad:
        for batch in record_batches(pyarrow, table["source"], 0, table["rows"]):
            found = take(len(batch))
            own = [as_stored(pyarrow, column, schema.field(i).type, table["dictionaries"].get(i), parquet) for i, column in enumerate(batch.columns)]
            out = pyarrow.record_batch([*own, *(found[i].combine_chunks() for i in range(len(table["added"])))], schema=schema)
            good = 0
            for row in [*bad.add(done, found["problem"].combine_chunks()), len(batch)]:
                if row > good:
                    groups.put(out.slice(good, row - good))
                good = row + 1
            done, nulls, truncated = done + len(batch), nulls + out[len(own)].null_count, truncated + sum(found["truncated"].to_pylist())
        if next(answers, None) is not None or _state(table["source"]) != table["state"]:
            raise _changed(table, parts)
        return {"rows": done, "nulls": nulls - bad.count, "bad_rows": bad.count, "truncated": truncated}


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


def check_names(source, output, bad_rows):
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


def _table(pyarrow, model, source, output, text_column, prefix, rows, scores, bad_rows, counted):
    """What a run knows of its table: checked before the first row is answered."""
    schema, total = open_file(pyarrow, source)[0], count_rows(pyarrow, source) if counted else 0
    state = _state(source)
    column = _text_column(pyarrow, source, schema, text_column)
    added = _added(pyarrow, model, prefix, scores, format_of(output) == "Parquet")
    for field in added:
        if field.name in schema.names:
            raise Error(f"{source}: there is a column '{field.name}' already: prefix (--prefix) names those that are added")
    table = {"source": source, "state": state, "column": column, "rows": rows, "model": model, "added": added, "bad_rows": bad_rows,
             "total": min(total, rows or total) if total else rows or 0, "schema": schema,
             "answers": pyarrow.schema([*added, pyarrow.field("problem", pyarrow.string()),
                                                pyarrow.field("truncated", pyarrow.int64())])}  # of the rows answered together, at the first
    table["dictionaries"] = dictionaries(pyarrow, table, output)
    table["schema"] = pyarrow.schema([*widened(pyarrow, schema, table["dictionaries"]), *added], schema.metadata)
    new_writer(pyarrow, output, pyarrow.BufferOutputStream(), table["schema"]).close()
    return table


def run_table(model, source, output, *, text_column=None, prefix="", rows=None, scores=False, bad_rows=None, resume=False, progress=None):
    """Answers each row of a Parquet or Arrow (Feather) file: `output` has its columns and `label` and `score`, or `embedding`. Gives
    {"rows", "nulls", "bad_rows", "truncated", "seconds", "rows_per_second"}. Needs pyarrow. A null has null answers; memory does not grow
    with the table; truncated counts the texts that are longer than the model reads.

    model: a Model, or the path or name of one. text_column: default "sentence", "text", …. prefix: put before the names of the columns
    that are added. rows: stop after so many. scores: also `scores`, a struct with that of each label. bad_rows: the file for rows whose
    text is not UTF-8, which the output has not (default: OUTPUT.bad.jsonl). resume: go on with OUTPUT.parts, which a run leaves that was
    killed. progress: progress(what, done, total), first with the rows that are done already, then about once a second; total is 0 if it
    is not known."""
    check_names(source, output, bad_rows)
    if rows is not None and (not isinstance(rows, int) or not 1 <= rows < 1 << 63):
        raise Error(f"rows: {rows!r}: expected a whole number from 1")
    pyarrow, start, whole = need_pyarrow(), time.monotonic(), False
    source, output = os.fspath(source), os.fspath(output)
    model = model if isinstance(model, Model) else Model(model)
    if None not in (bad_rows, model._source) and os.path.realpath(bad_rows) == os.path.realpath(model._source):
        raise Error(f"{bad_rows}: would be written over: it is the model")
    if bad_rows is not None and os.path.isdir(bad_rows):
        raise WriteError(f"{bad_rows}: cannot write: Is a directory")
    table = _table(pyarrow, model, source, output, text_column, prefix, rows, scores, os.fspath(bad_rows or output + ".bad.jsonl"),
                   progress is not None)
    settings = _settings(table, model, prefix, scores, resume)
    parts = Parts(pyarrow, os.path.realpath(output), table["answers"], settings, resume)
    begun = parts.rows
    try:
        _answer(pyarrow, table, parts, (lambda done: progress("rows", done, table["total"])) if progress is not None else lambda done: None)
        with writing(output):
            counts = _write(pyarrow, table, parts, output)
        whole = True
    finally:
        parts.close(whole)
    seconds = time.monotonic() - start
    return {**counts, "seconds": seconds, "rows_per_second": (counts["rows"] - begun) / max(seconds, 1e-9)}
