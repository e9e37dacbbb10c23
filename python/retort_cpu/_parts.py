# SPDX-License-Identifier: Apache-2.0
"""Answers to a table that is not whole yet: a folder with an Arrow file for each group of rows, with which a run that ended goes on.

`OUT.parts/settings.json` says what the answers belong to; `OUT.parts/FIRST.arrow` has those from row FIRST on. Each file has its name
when it is whole, so a run can be killed at any moment. `OUT.parts/output` becomes OUT."""
import contextlib
import fcntl
import hashlib
import json
import os
import re

from ._library import Error

_VERSION = 1
_ANSWERS = re.compile(r"\d{12,}\.arrow")
_OURS = re.compile(r"(\d{12,}\.arrow|settings\.json)(\.next)?|output")


class WriteError(Error):
    """An output that cannot be written."""

    def __init__(self, text, status="IO"):
        super().__init__(text, status)


@contextlib.contextmanager
def writing(path):
    """What the system refuses here is an output."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"{error.filename or path}: cannot write: {error.strerror or error}") from None


def digest(path):
    """Of a file, or of all files of a folder."""
    found = hashlib.blake2b(digest_size=16)
    names = sorted(os.path.join(at, name) for at, _, names in os.walk(path) for name in names) if os.path.isdir(path) else [path]
    for name in names:
        found.update(f"{os.path.relpath(name, path)} {os.path.getsize(name)}\n".encode("utf-8", "surrogateescape"))
        with open(name, "rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
    return found.hexdigest()


class _Lock:
    """An open folder, locked for this run. Ends with its owner, also if an interrupt comes between."""

    def __init__(self, path):
        self.fd = -1
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def __del__(self):
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class Parts:
    """rows: how many are answered."""

    def __init__(self, pyarrow, output, schema, settings, resume):
        self._pyarrow, self._schema, self._folder = pyarrow, schema, output + ".parts"
        self._next = 0, []  # the first row that no file has, and the record batches from there on
        self._lock = self._locked()
        try:
            self._begin({"version": _VERSION, **settings}, resume)
        except BaseException:
            self.close(False)
            raise

    @property
    def rows(self):
        return self._next[0] + sum(batch.num_rows for batch in self._next[1])

    @property
    def output(self):
        """Where the output is written until it is whole."""
        return os.path.join(self._folder, "output")

    def _locked(self):
        """The folder, locked. A run that ended meanwhile may have removed it."""
        while True:
            with writing(self._folder), contextlib.suppress(FileExistsError):
                os.mkdir(self._folder)
            try:
                lock = _Lock(self._folder)
                if os.path.samestat(os.fstat(lock.fd), os.stat(self._folder)):
                    return lock
            except FileNotFoundError:
                continue
            except BlockingIOError:
                raise WriteError(f"{self._folder}: another run writes there") from None
            except OSError as error:
                raise WriteError(f"{self._folder}: answers are kept there, in a folder of their own: {error.strerror}") from None

    def _begin(self, settings, resume):
        for name in os.listdir(self._folder):
            if not _OURS.fullmatch(name):
                raise Error(f"{self._folder}: answers are kept there, and '{name}' is none: move it, or choose another output")
        if self._names() and not resume:
            raise Error(f"{self._folder} has the answers of a run that did not end: --resume (resume=True) goes on with it; to begin anew remove it")
        if self._names():
            self._go_on(settings)
        self._write("settings.json", lambda path: _write_text(path, json.dumps(settings)))

    def _go_on(self, settings):
        then = self._settings()
        differ = [key for key in {**settings, **then} if settings.get(key) != then.get(key)]
        if differ:
            said = "; ".join(f"{key}: then {then.get(key)!r}, now {settings.get(key)!r}" for key in differ)
            raise Error(f"--resume: {self._folder} was begun with another input, model or options, so its answers would not agree: {said}",
                        "FORMAT" if "input" in differ or "bytes" in differ or "modified" in differ else "ARGUMENT")
        self._next = sum(batch.num_rows for batch in self.read()), []

    def _settings(self):
        path = os.path.join(self._folder, "settings.json")
        try:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
        except (OSError, ValueError, RecursionError) as error:
            found = error
        if not isinstance(found, dict):
            raise Error(f"{path}: does not say what the answers beside it belong to ({found!r:.200}): remove {self._folder}", "FORMAT")
        return found

    def _names(self):
        return sorted(filter(_ANSWERS.fullmatch, os.listdir(self._folder)))

    def _write(self, name, write):
        path = os.path.join(self._folder, name)
        with writing(path):
            write(path + ".next")
            os.replace(path + ".next", path)

    def _read(self, name):
        path = os.path.join(self._folder, name)
        try:
            with self._pyarrow.OSFile(path) as source, self._pyarrow.ipc.open_stream(source) as stream:
                if stream.schema != self._schema:
                    raise Error(f"{path}: has other columns than the answers of this run: remove {self._folder} and begin anew", "FORMAT")
                for batch in stream:
                    batch.validate(full=True)
                    yield batch
        except (self._pyarrow.ArrowException, OSError) as error:
            raise Error(f"{path}: {error}: remove {self._folder} and begin anew", "FORMAT") from None

    def put(self, batch):
        """The answers that follow. They are in a file after the next save."""
        self._next[1].append(batch)

    def save(self):
        """May be interrupted, and repeated then: the file has the same name again."""
        first, batches = self._next

        def write(path):
            with open(path, "wb") as file:
                with self._pyarrow.ipc.new_stream(file, self._schema) as writer:
                    for batch in batches:
                        writer.write_batch(batch)
                file.flush()
                os.fsync(file.fileno())
        if batches:
            self._write(f"{first:012d}.arrow", write)
            self._next = self.rows, []

    def read(self):
        """The record batches that are in files, from the first row on."""
        at = 0
        for name in self._names():
            if int(name.partition(".")[0]) == at:
                for batch in self._read(name):
                    at += batch.num_rows
                    yield batch

    def close(self, whole):
        """Removes the files if the answers are in the output, or if there are none, and the folder."""
        if whole or not self._names():
            for name in sorted(filter(_OURS.fullmatch, os.listdir(self._folder))):  # settings.json last: it says what the others are
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(self._folder, name))
            with contextlib.suppress(OSError):
                os.rmdir(self._folder)
        self._lock = None


def _write_text(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
