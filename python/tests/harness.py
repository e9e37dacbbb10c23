# SPDX-License-Identifier: Apache-2.0
"""What the tests of the Python package share: checkpoints, the command, and a list of tests that prints TAP.

RETORT_ROOT is the source tree, RETORT_CPU_LIBRARY and RETORT_CPU_COMMAND what the package runs."""
import glob
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import traceback

sys.dont_write_bytecode = True
ROOT = pathlib.Path(os.environ["RETORT_ROOT"])
cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
clients = [] if importlib.util.find_spec("pyarrow") else glob.glob(f"{cache}/retort/clients/lib/python3*/site-packages")  # of tools/clients
sys.path += clients
os.environ["PYTHONPATH"] = os.pathsep.join([os.environ.get("PYTHONPATH", ""), *clients]).strip(os.pathsep)  # of the interpreters started here
WORK = tempfile.TemporaryDirectory()
HERE = pathlib.Path(WORK.name)
tests = []

try:
    import numpy  # noqa: F401
except ImportError as error:
    print(f"not ok 1 # SKIP numpy: {error}\n1..1")
    sys.exit(0)


def with_sanitizer():
    """Starts this test again with the library's sanitizer loaded first, which an interpreter without one needs. The interpreter's own
    memory is never freed: leaks are for the tests of the library."""
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        return
    said = subprocess.run(["ldd", os.environ["RETORT_CPU_LIBRARY"]], capture_output=True, text=True).stdout
    found = re.findall(r"=> (\S*/lib(?:asan|ubsan)\.so\S*)", said)
    if not any("libasan" in path for path in found) or pathlib.Path(sys.argv[0]).stem != "test_answers":
        print("not ok 1 # SKIP answers alone are tested with a sanitizer, and only with gcc's, which an interpreter can load\n1..1")
        sys.exit(0)
    options = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "detect_leaks=0"]))
    WORK.cleanup()
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "LD_PRELOAD": " ".join(found), "ASAN_OPTIONS": options})


if os.environ.get("RETORT_SANITIZER", "none") != "none":
    with_sanitizer()


class Skip(Exception):
    """What a test needs is not on this machine."""


def test(function):
    tests.append(function)
    return function


def checkpoint(name):
    return str(ROOT / "test/golden/checkpoints" / name)


def retort(*arguments):
    """What the command prints with --json: an object per line."""
    done = subprocess.run([os.environ["RETORT_CPU_COMMAND"], *map(str, arguments), "--json"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def file(name):
    """The checkpoint as a .retort file, imported once."""
    path = HERE / f"{name}.retort"
    if not path.exists():
        retort("import", checkpoint(name), "-o", path)
    return str(path)


def data(name, rows):
    path = HERE / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def raises(kind, words, function, *arguments, **more):
    try:
        function(*arguments, **more)
    except kind as error:
        assert words in str(error), f"{error!r} does not say {words!r}"
        return error
    raise AssertionError(f"{function} did not raise {kind.__name__}: {words}")


def main():
    failed = 0
    for i, function in enumerate(tests, 1):
        try:
            function()
            print(f"ok {i} - {function.__name__}", flush=True)
        except Skip as why:
            print(f"not ok {i} # SKIP {function.__name__}: {why}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {i} - {function.__name__}\n{traceback.format_exc()}", flush=True)
    print(f"1..{len(tests)}")
    sys.exit(failed > 0)
