# SPDX-License-Identifier: Apache-2.0
"""Answers to a table that is not whole yet: a folder with an Arrow file for each group of rows, with which a run that ended goes on.

`OUT.parts/settings.json` says what the answers belong to; `OUT.parts/FIRST.arrow` has those from row FIRST on. Each file has its name
when it is whole, so a run can be killed at any moment."""
import contextlib
import fcntl
import hashlib
import json
import os
import shutil

from ._library import Error

_VERSION = 1


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
        found.update(f"{os.path.relpath(name, path)} {os.path.getsize(name)}\n".encode())
        with open(name, "rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
    return found.hexdigest()


class Parts:
    """rows: how many are answered."""

    def __init__(self, pyarrow, output, settings, resume):
        self._pyarrow, self._folder, self.rows = pyarrow, output + ".parts", 0
        settings = {"version": _VERSION, **settings}
        with writing(self._folder):
            with contextlib.suppress(FileExistsError):
                os.mkdir(self._folder)
            self._lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._begin(settings, resume)
        except BaseException:
            os.close(self._lock)
            raise

    def _begin(self, settings, resume):
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise WriteError(f"{self._folder}: another run writes there") from None
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
        for name in self._names():
            if int(name.partition(".")[0]) == self.rows:
                self.rows += sum(batch.num_rows for batch in self._read(name))

    def _settings(self):
        path = os.path.join(self._folder, "settings.json")
        try:
            with open(path, encoding="utf-8") as file:
                return dict(json.load(file))
        except (OSError, ValueError, TypeError) as error:
            raise Error(f"{path}: does not say what the answers beside it belong to ({error}): remove {self._folder}", "FORMAT") from None

    def _names(self):
        return sorted(name for name in os.listdir(self._folder) if name.endswith(".arrow"))

    def _write(self, name, write):
        path = os.path.join(self._folder, name)
        with writing(path):
            write(path + ".next")
            os.replace(path + ".next", path)

    def _read(self, name):
        path = os.path.join(self._folder, name)
        try:
            with self._pyarrow.memory_map(path) as source:
                yield from self._pyarrow.ipc.open_stream(source)
        except (self._pyarrow.ArrowException, OSError) as error:
            raise Error(f"{path}: {error}: remove {self._folder} and begin anew", "FORMAT") from None

    def add(self, batches):
        """Record batches that follow those that are there."""
        def write(path):
            with open(path, "wb") as file:
                with self._pyarrow.ipc.new_stream(file, batches[0].schema) as writer:
                    for batch in batches:
                        writer.write_batch(batch)
                file.flush()
                os.fsync(file.fileno())
        if batches:
            self._write(f"{self.rows:012d}.arrow", write)
            self.rows += sum(batch.num_rows for batch in batches)

    def read(self):
        """The record batches, from the first row on."""
        at = 0
        for name in self._names():
            if int(name.partition(".")[0]) == at:
                for batch in self._read(name):
                    at += batch.num_rows
                    yield batch

    def close(self, whole):
        """Removes the folder if its answers are in the output, or if there are none."""
        if whole or not self._names():
            shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)


def _write_text(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
