# SPDX-License-Identifier: Apache-2.0
"""Columns of pyarrow, Polars, DuckDB and others, by the Arrow PyCapsule interface over retort_arrow.h: texts are not copied."""
import ctypes

from ._library import Error, call, lib

_P = ctypes.c_void_p


class Schema(ctypes.Structure):
    _fields_ = [("format", ctypes.c_char_p), ("name", ctypes.c_char_p), ("metadata", _P), ("flags", ctypes.c_int64),
                ("n_children", ctypes.c_int64), ("children", _P), ("dictionary", _P), ("release", _P), ("private_data", _P)]


class Array(ctypes.Structure):
    _fields_ = [("length", ctypes.c_int64), ("null_count", ctypes.c_int64), ("offset", ctypes.c_int64), ("n_buffers", ctypes.c_int64),
                ("n_children", ctypes.c_int64), ("buffers", _P), ("children", _P), ("dictionary", _P), ("release", _P),
                ("private_data", _P)]


class Stream(ctypes.Structure):
    _fields_ = [("get_schema", _P), ("get_next", _P), ("get_last_error", _P), ("release", _P), ("private_data", _P)]


for _name, _types in {"schema": [_P, _P, _P], "array": [_P, _P, _P, ctypes.c_char_p, _P, _P]}.items():
    _function = getattr(lib, f"retort_arrow_{_name}")
    _function.restype, _function.argtypes = ctypes.c_int, _types

_new = ctypes.PYFUNCTYPE(ctypes.py_object, _P, ctypes.c_char_p, _P)(("PyCapsule_New", ctypes.pythonapi))
_inside = ctypes.PYFUNCTYPE(_P, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))
_ask = ctypes.CFUNCTYPE(ctypes.c_int, _P, _P)
_say = ctypes.CFUNCTYPE(ctypes.c_char_p, _P)
_end = ctypes.CFUNCTYPE(None, _P)
_SCHEMA, _ARRAY, _STREAM = b"arrow_schema", b"arrow_array", b"arrow_array_stream"


class _Own:
    """A struct that is released with its owner, unless somebody has taken it over."""

    def __init__(self, kind):
        self.struct = kind()
        self._as_parameter_ = ctypes.byref(self.struct)

    def capsule(self, name):
        return _new(ctypes.addressof(self.struct), name, None)

    def release(self):
        if self.struct.release:
            _end(self.struct.release)(ctypes.addressof(self.struct))

    def __del__(self):
        self.release()


class ArrowAnswers:
    """The answers to one chunk of texts, for whoever reads Arrow's C data: ``pyarrow.array(answers)``, ``polars.Series(answers)``.
    Each can be read once. Of a classifier struct<label: dictionary<int32, utf8>, score: float32>, of a model that embeds
    struct<embedding: fixed_size_list<float32>>; a null has null answers."""

    def __init__(self, schema, array):
        self._schema, self._array = schema, array
        self._length = array.struct.length

    def __len__(self):
        return self._length

    def __arrow_c_array__(self, requested_schema=None):
        if not self._array.struct.release or not self._schema.struct.release:
            raise Error("these answers were taken already: an Arrow array has one owner")
        return self._schema.capsule(_SCHEMA), self._array.capsule(_ARRAY)


def _next(stream, function, out):
    """Calls get_schema or get_next of a stream."""
    status = _ask(function)(ctypes.addressof(stream), ctypes.addressof(out.struct))
    if status != 0:
        text = _say(stream.get_last_error)(ctypes.addressof(stream))
        raise Error(f"arrow: the column gives no more: {text.decode('utf-8', 'replace') if text else f'error {status}'}", "IO")
    return out


def chunks_of(column):
    """The schema of a column, and an iterator over its arrays."""
    if hasattr(column, "__arrow_c_stream__"):
        capsule = column.__arrow_c_stream__()
        stream = Stream.from_address(_inside(capsule, _STREAM))

        def arrays(capsule=capsule):  # the capsule releases the stream
            while (array := _next(stream, stream.get_next, _Own(Array))).struct.release:
                yield array
        return _next(stream, stream.get_schema, _Own(Schema)), arrays()
    if hasattr(column, "__arrow_c_array__"):
        schema, array = capsules = column.__arrow_c_array__()
        at = Array.from_address(_inside(array, _ARRAY))

        def one(capsules=capsules):
            yield ctypes.byref(at)
        return ctypes.byref(Schema.from_address(_inside(schema, _SCHEMA))), one()
    raise Error(f"predict_arrow: {type(column).__name__} is no Arrow column: expected __arrow_c_stream__ or __arrow_c_array__, "
                "as of pyarrow, Polars or DuckDB")


def predict(model, column, name):
    """See Model.predict_arrow."""
    schema, arrays = chunks_of(column)
    for texts in arrays:
        answer, kind = _Own(Array), _Own(Schema)
        with model._use(model.task) as session:
            call(lib.retort_arrow_schema, session, kind)
            call(lib.retort_arrow_array, session, schema, texts, None if name is None else name.encode(), answer)
        yield ArrowAnswers(kind, answer)
