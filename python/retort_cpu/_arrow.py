# SPDX-License-Identifier: Apache-2.0
"""Columns of pyarrow, Polars, DuckDB and others, by the Arrow PyCapsule interface over retort_arrow.h: texts are not copied."""
import ctypes
import errno
import os
import threading

from ._library import Error, bytes_of, call, interrupt, lib

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


for _name, _types in {"schema": [_P, _P, _P], "array": [_P, _P, _P, ctypes.c_char_p, _P, _P],
                      "stream": [_P, _P, ctypes.c_char_p, _P, _P], "own": [_P, _P]}.items():
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


_STATUS = {errno.ENOMEM: "NOMEM", errno.EIO: "IO", errno.EOVERFLOW: "LIMIT"}


def _next(stream, function, out):
    """Calls get_schema or get_next of a stream. What Ctrl-C cancels goes on if its handler raises nothing."""
    while (status := _ask(function)(ctypes.addressof(stream), ctypes.addressof(out.struct))) == errno.EINTR:
        interrupt()
    if status != 0:
        text = _say(stream.get_last_error)(ctypes.addressof(stream))
        raise Error(text.decode("utf-8", "replace") if text else f"arrow: error {status}", _STATUS.get(status, "ARGUMENT"))
    return out


class _Answers:
    """An iterator of ArrowAnswers, one for each chunk of texts."""

    def __init__(self, model, capsules, name):
        self._model, self._capsules = model, capsules  # these release the texts
        self._name = None if name is None else bytes_of(name, "name")

    def __iter__(self):
        return self


class ArrowStream(_Answers):
    """The answers to a stream of texts, for whoever reads Arrow's C streams: ``pyarrow.RecordBatchReader.from_stream(answers)``,
    ``polars.DataFrame(answers)``. Each chunk is answered when it is asked for. An iterator over the chunks, too."""

    def __init__(self, model, capsule, name):
        super().__init__(model, capsule, name)
        self._answers = self._session = None
        self._process, self._busy = os.getpid(), threading.Lock()

    def _begun(self):
        """The library's stream, with a session that is the model's again when it ends."""
        if self._answers is None:
            texts, session = Stream.from_address(_inside(self._capsules, _STREAM)), self._model._use(self._model.task)
            pointer = session.__enter__()
            self._session, self._answers = session, _Own(Stream)
            call(lib.retort_arrow_stream, pointer, ctypes.addressof(texts), self._name, self._answers)
        if not self._answers.struct.release:
            raise Error("this stream was taken already: an Arrow stream has one owner")
        if self._process != os.getpid():
            raise Error("this stream was begun before the fork: a child begins its own")
        return self._answers.struct

    def __next__(self):
        if not self._busy.acquire(blocking=False):
            raise Error("this stream is read already: one thread at a time may read it")
        try:
            answers = self._begun()
            kind = _next(answers, answers.get_schema, _Own(Schema))
            answer = _next(answers, answers.get_next, _Own(Array))
        finally:
            self._busy.release()
        if not answer.struct.release:
            raise StopIteration
        return ArrowAnswers(kind, answer)

    def __arrow_c_stream__(self, requested_schema=None):
        self._begun()
        call(lib.retort_arrow_own, self._answers)
        self._session.give_away()
        self._session = None
        return self._answers.capsule(_STREAM)

    def __del__(self):
        session, self._session = getattr(self, "_session", None), None
        if session is not None and self._process != os.getpid():  # its threads are the parent's
            self._answers.struct.release = None
            session.give_away()
        elif session is not None:
            self._answers.release()
            session.__exit__()


class ArrowArray(_Answers):
    """The answers to one array of texts: ``pyarrow.array(answers)``, ``polars.Series(answers)``; or an iterator over this one."""

    def __next__(self):
        if self._capsules is None:
            raise StopIteration
        schema, texts = self._capsules
        answer, kind = _Own(Array), _Own(Schema)
        with self._model._use(self._model.task) as session:
            call(lib.retort_arrow_schema, session, kind)
            self._answer(session, _inside(schema, _SCHEMA), _inside(texts, _ARRAY), answer)
        self._capsules = None
        return ArrowAnswers(kind, answer)

    def _answer(self, session, *arguments):
        while True:
            try:
                return call(lib.retort_arrow_array, session, arguments[0], arguments[1], self._name, arguments[2])
            except Error as error:
                if error.status != "CANCELLED":
                    raise
            interrupt()  # once more, if its handler raises nothing

    def __arrow_c_array__(self, requested_schema=None):
        self._taken = next(self, None)
        if self._taken is None:
            raise Error("these answers were taken already: an Arrow array has one owner")
        return self._taken.__arrow_c_array__()


def predict(model, column, name):
    """See Model.predict_arrow."""
    if model.task not in ("classify", "embed"):
        raise Error(f"predict_arrow: the model was made to {model.task}: expected one that classifies or embeds")
    if hasattr(column, "__arrow_c_stream__"):
        return ArrowStream(model, column.__arrow_c_stream__(), name)
    if hasattr(column, "__arrow_c_array__"):
        return ArrowArray(model, column.__arrow_c_array__(), name)
    raise Error(f"predict_arrow: {type(column).__name__} is no Arrow column: expected __arrow_c_stream__ or __arrow_c_array__, "
                "as of Polars, DuckDB or pyarrow from version 16 on")
