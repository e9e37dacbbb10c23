# SPDX-License-Identifier: Apache-2.0
"""libretort.so by ctypes, which releases the interpreter's lock in every call. Declarations are in _retort, made from
retort.h; the `size` that each struct begins with lets a newer or older library tell what it does not know."""
import contextlib
import ctypes
import operator
import os
import signal
import sys
import threading
import warnings
from pathlib import Path

from . import _retort as c

FOLDER = Path(__file__).resolve().parent


WHOLE = (ctypes.c_int32, ctypes.c_uint32, ctypes.c_int64, ctypes.c_uint64, ctypes.c_size_t)


class Error(Exception):
    """What the library refused or could not do, in its own sentence.

    ``status`` is the name of its retort_status: "ARGUMENT", "FORMAT", "IO", "LIMIT", "CANCELLED", …
    """

    def __init__(self, text, status="ARGUMENT"):
        super().__init__(text)
        self.status = status

    def __reduce__(self):
        return Error, (self.args[0], self.status)


def _open():
    path = os.environ.get("RETORT_CPU_LIBRARY") or FOLDER / "libretort.so"
    try:
        library = ctypes.CDLL(os.fspath(path))
    except OSError as error:
        raise ImportError(f"retort_cpu: {error}; RETORT_CPU_LIBRARY can name another libretort.so") from None
    for name, (result, arguments) in c.FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


lib = _open()


def text_of(raw):
    """A str of the library's bytes; None stays."""
    return None if raw is None else raw.decode("utf-8", "replace")


def bytes_of(value, what):
    """A str or path as the library takes it: until its first NUL."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{what}: expected a str, found {type(value).__name__}: {value!r:.60}")
    return path_of(value, what)


def path_of(path, what="path"):
    raw = os.fspath(path)
    try:
        raw = raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else raw
    except UnicodeEncodeError as error:
        raise Error(f"{what} {path!r:.60}: is not Unicode: {error.reason}") from None
    if 0 in raw:
        raise Error(f"{what} {path!r:.60}: has a NUL character")
    return raw


def whole(value, what, more=""):
    """A whole number from 1 on. `more`: what else may be given."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} {value!r:.60}: expected a whole number{more}") from None
    if number < 1:
        raise Error(f"{what} {number}: expected at least 1{more}")
    return number


def failure(status, error=None):
    text = text_of(error.text) if error is not None and error.text else text_of(lib.retort_status_text(status))
    return Error(text, c.STATUS_NAMES.get(status, str(status)))


def warn(text):
    """A UserWarning at the line of the program that called this package."""
    frame, level = sys._getframe(1), 2
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, stacklevel=level)


def call(function, *arguments):
    """Calls a function whose last argument is the error; raises what it says."""
    error = c.retort_error()
    status = function(*arguments, ctypes.byref(error))
    if status != c.RETORT_OK:
        raise failure(status, error)


def struct(name, **fields):
    """A struct with its size and the library's defaults, then these fields. None keeps a default."""
    kind = getattr(c, "retort_" + name)
    it = kind()
    getattr(lib, f"retort_{name}_init")(ctypes.byref(it), ctypes.sizeof(it))
    known = dict(kind._fields_)
    for field, value in fields.items():
        if field not in known or field == "size":
            raise TypeError(f"{name} has no {field!r}; it has {', '.join(f for f in known if f != 'size')}")
        if value is None:
            continue
        value = bytes_of(value, field) if known[field] is ctypes.c_char_p else value
        try:
            setattr(it, field, value)
        except TypeError as error:
            raise TypeError(f"{field} {value!r:.60}: {error}") from None
        if isinstance(value, (int, float)) and value < 0:  # in C the default of some
            raise Error(f"{field} {value}: expected 0 or more, or None for the default")
        if known[field] in WHOLE and getattr(it, field) != value:  # ctypes would take its lowest bits
            raise Error(f"{field} {value}: is too large")
    return it


def as_dict(it):
    """The numbers and texts of a result."""
    values = {name: getattr(it, name) for name, _ in it._fields_ if name != "size"}
    return {name: text_of(value) if isinstance(value, bytes) else value for name, value in values.items()}


def names_array(names):
    """(char **, count) of strings; both keep their bytes."""
    names = [bytes_of(name, "name") for name in names]
    return (ctypes.c_char_p * len(names))(*names), len(names)


def callback_type(name, field):
    """That of a field of a struct."""
    return dict(getattr(c, "retort_" + name)._fields_)[field]


class Callback:
    """A callback of the library. What it raises stops the work, and `work` raises it again: ctypes would only print it."""

    def __init__(self, kind, function):
        def guarded(*arguments):
            try:
                if function is not None:
                    function(*arguments)
            except BaseException as error:
                self.raised = error
                return 1
            return 1 if self.interrupts else 0

        self.raised, self.interrupts = None, ()
        self.c = kind(guarded)


@contextlib.contextmanager
def _held_interrupts():
    """Ctrl-C is noted in a list, and raised at the end: raised inside a callback it would be lost."""
    seen, handler = [], signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield seen
        return
    signal.signal(signal.SIGINT, lambda number, frame: seen.append((number, frame)))
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, handler)
        if seen:
            handler(*seen[0])


def work(callbacks, function, *arguments):
    """call, for work that takes long and reports by these callbacks: Ctrl-C, and what they raise, ends it."""
    with _held_interrupts() as interrupts:
        for callback in callbacks:
            callback.interrupts = interrupts
        try:
            call(function, *arguments)
        finally:
            for callback in callbacks:
                if callback.raised is not None:
                    raise callback.raised


# Whether Ctrl-C was pressed, which is forgotten then; its handler does not run: raised inside a callback, KeyboardInterrupt would be lost.
_occurred = callback_type("session_options", "cancel")(ctypes.pythonapi.PyOS_InterruptOccurred)


def interrupts():
    """The fields of session options by which Ctrl-C ends a call; another handler than Python's may want it to go on."""
    return {"cancel": _occurred} if signal.getsignal(signal.SIGINT) is signal.default_int_handler else {}


def interrupt():
    """Runs the handler of the Ctrl-C that cancelled a call."""
    ctypes.pythonapi.PyErr_SetInterrupt()


def progress_callback(progress):
    """``progress(what, done, total)`` as the library calls it. Without one it still lets Ctrl-C through."""
    def report(_user, what, done, total):
        if progress is not None:
            progress(text_of(what), done, total)

    return Callback(c.retort_progress_fn, report)


def threads_here(threads=None):
    """How many threads a session gets: `threads`; else OMP_NUM_THREADS, which Spark sets to spark.task.cpus, but no more
    CPUs than this process may use; else 0, and the library takes min(affinity, cgroup quota, physical cores)."""
    if threads is not None:
        return 0 if threads == 0 else whole(threads, "threads", ", or 0 or None for all cores")
    try:
        wanted = int(os.environ.get("OMP_NUM_THREADS", "").split(",")[0])
    except ValueError:
        wanted = spark_cpus()
    if wanted <= 0:
        return 0
    machine = struct("machine")
    if lib.retort_machine_describe(ctypes.byref(machine)) != c.RETORT_OK:
        return wanted
    limit = machine.affinity
    if machine.quota > 0:
        limit = min(limit, max(1, int(-(-machine.quota // 1))))
    return max(1, min(wanted, limit))


def spark_cpus():
    """spark.task.cpus of the Spark task that this process works for; 0: none."""
    spark = sys.modules.get("pyspark")
    context = spark.TaskContext.get() if spark is not None else None
    return context.cpus() if context is not None and hasattr(context, "cpus") else 0
