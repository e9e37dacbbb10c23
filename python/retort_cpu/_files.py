# SPDX-License-Identifier: Apache-2.0
"""Parquet and Arrow files by pyarrow: what is in them, and what is written."""
import contextlib
import os

from ._formats import format_of
from ._library import Error

PYARROW = 16  # the first with string views
BATCH_ROWS = 8192
GROUP_ROWS, GROUP_BYTES = 1 << 17, 1 << 26  # of a row group that is written


def need_pyarrow():
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise Error(f"Parquet and Arrow files need pyarrow: pip install pyarrow ({error})", "PROVIDER") from None
    if int(pyarrow.__version__.partition(".")[0]) < PYARROW:
        raise Error(f"Parquet and Arrow files need pyarrow {PYARROW} or later, found {pyarrow.__version__}: pip install -U pyarrow", "PROVIDER")
    return pyarrow


def _arrow_file(pyarrow, path):
    """Either form of Arrow's IPC: a file, which Feather version 2 is, or a stream."""
    source = pyarrow.OSFile(path)  # not mapped: a file that is cut short meanwhile would end the process
    if source.read(4) == b"FEA1":
        raise Error(f"{path}: Feather version 1: expected version 2, which pyarrow.feather.write_feather writes", "FORMAT")
    source.seek(0)
    try:
        file = pyarrow.ipc.open_file(source)
    except pyarrow.ArrowInvalid:
        source.seek(0)
        stream = pyarrow.ipc.open_stream(source)
        return stream.schema, iter(stream)
    return file.schema, (file.get_batch(i) for i in range(file.num_record_batches))


def _parquet_file(pyarrow, path):
    """Read piece by piece: pyarrow's default keeps whatever was read of the file."""
    file = pyarrow.parquet.ParquetFile(pyarrow.OSFile(path), pre_buffer=False, buffer_size=1 << 20)
    groups = range(file.metadata.num_row_groups)
    mean = sum(file.metadata.row_group(i).total_byte_size for i in groups) // max(file.metadata.num_rows, 1)
    return file.schema_arrow, file.iter_batches(max(1, min(BATCH_ROWS, GROUP_BYTES // max(mean, 1))))


def open_file(pyarrow, path):
    """(schema, record batches) of a file."""
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


def count_rows(pyarrow, path):
    """By the headers alone; 0 if they do not tell, as of a stream."""
    try:
        if format_of(path) == "Parquet":
            return pyarrow.parquet.read_metadata(path).num_rows
        import pyarrow.dataset  # with pandas, where it is: a second
        return pyarrow.dataset.dataset(path, format="ipc").count_rows()
    except (pyarrow.ArrowException, OSError):
        return 0


def is_utf8(pyarrow, column):
    """Checks the offsets, views and indices of a column of an Arrow file, which its reader trusts: a damaged file would end the process.
    Whether its strings are UTF-8, too: pyarrow's words tell, as it checks their offsets first."""
    try:
        column.validate(full=True)
        return True
    except pyarrow.ArrowInvalid as error:
        if "UTF8" not in str(error):
            raise
        if isinstance(column, pyarrow.DictionaryArray):
            pyarrow.DictionaryArray.from_arrays(column.indices, pyarrow.nulls(len(column.dictionary))).validate(full=True)
        return False


def record_batches(pyarrow, path, first, rows, unchecked=None):
    """The record batches of a file from row `first` on, at most BATCH_ROWS each, `rows` (None: all) with those before. Errors name the file.
    The caller checks the column `unchecked`."""
    at, batches = 0, open_file(pyarrow, path)[1]
    try:
        for whole in batches:
            whole = whole if rows is None else whole.slice(0, rows - at)
            for begin in range(max(first - at, 0), len(whole), BATCH_ROWS):
                batch = whole.slice(begin, BATCH_ROWS)
                for name, column in zip(batch.schema.names, batch.columns) if format_of(path) == "Arrow" else ():
                    if name != unchecked:
                        is_utf8(pyarrow, column)
                yield batch
            at += len(whole)
            if at == rows:
                return
    except (pyarrow.ArrowException, OSError) as error:
        raise Error(f"{path}: {error}", "FORMAT") from None


def new_writer(pyarrow, path, sink, schema):
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
def written(pyarrow, path, part, schema):
    """Takes record batches; the file has its name when it is whole. A link is written through."""
    try:
        with open(part, "wb") as sink:
            with new_writer(pyarrow, path, sink, schema) as writer:
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


def dictionaries(pyarrow, table, output):
    """The values of each column that is a dictionary, by its index: an Arrow file has one dictionary for all rows, where Parquet files and
    streams have others for each group of rows. Reads all rows."""
    compute, schema = pyarrow.compute, table["schema"]
    found = {} if format_of(output) == "Parquet" else {
        i: pyarrow.array([], field.type.value_type) for i, field in enumerate(schema) if pyarrow.types.is_dictionary(field.type)}
    for batch in record_batches(pyarrow, table["source"], 0, table["rows"]) if found else ():
        for i, known in found.items():
            new = batch[i].dictionary
            if not new.equals(known):
                found[i] = pyarrow.concat_arrays([known, new.filter(compute.invert(compute.is_in(new, value_set=known))).unique()])
    return found


def widened(pyarrow, schema, dictionaries):
    """The schema, with indices that reach all values of each dictionary."""
    for i, values in dictionaries.items():
        kind = schema.field(i).type
        if len(values) > 1 << (kind.index_type.bit_width - 1):
            schema = schema.set(i, schema.field(i).with_type(pyarrow.dictionary(pyarrow.int32(), kind.value_type, kind.ordered)))
    return schema


def as_stored(pyarrow, column, kind, values, parquet):
    """A column as its file can have it: with the values of all rows; for Parquet, without nulls among the values of a dictionary."""
    if values is not None and not values.equals(column.dictionary):
        indices = pyarrow.compute.index_in(column.dictionary, value_set=values).take(column.indices)
        return pyarrow.DictionaryArray.from_arrays(indices.cast(kind.index_type), values, ordered=kind.ordered)
    if parquet and pyarrow.types.is_dictionary(kind) and column.dictionary.null_count:
        plain = column.dictionary_decode().dictionary_encode()
        return pyarrow.DictionaryArray.from_arrays(plain.indices.cast(kind.index_type), plain.dictionary, ordered=kind.ordered)
    return column if column.type == kind else column.cast(kind)
