# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command line share: running it, models, files, and a list of tests that prints TAP."""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time

RETORT, ROOT, EXAMPLES = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
GOLDEN = ROOT / "test/golden"
WORK = tempfile.TemporaryDirectory()
HERE = pathlib.Path(WORK.name)
tests = []


class Skip(Exception):
    """What a test needs is not on this machine."""


def test(function):
    tests.append(function)
    return function


def checkpoint(name):
    return str(GOLDEN / "checkpoints" / name)


def retort(*args, stdin=b"", code=0, program=RETORT, env=None):
    """Standard output as bytes and standard error as text; the exit code must be `code`."""
    environment = {**os.environ, **(env or {})}
    environment.pop("RETORT_ISA", None)
    done = subprocess.run([str(program), *map(os.fspath, map(str, args))], input=stdin, capture_output=True,
                          timeout=300, env=environment)
    error = done.stderr.decode("utf-8", "replace")
    assert done.returncode == code, f"{args}: exit code {done.returncode}, expected {code}; stderr: {error}"
    return done.stdout, error


def rows(*args, **more):
    """The JSON objects that a command prints, one per line."""
    return [json.loads(line) for line in retort(*args, "--json", **more)[0].splitlines()]


def model(name, **options):
    """The checkpoint's .retort file, imported once."""
    path = HERE / (name + "".join(f"-{k}{v}" for k, v in options.items()) + ".retort")
    if not path.exists():
        flags = [part for k, v in options.items() for part in (f"--{k}", str(v))]
        retort("import", checkpoint(name), "-o", path, *flags)
    return str(path)


def file(name, data):
    path = HERE / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(path)


def fails(code, words, *args, **more):
    out, error = retort(*args, code=code, **more)
    assert words in error, f"{args}: '{error.strip()}' does not say '{words}'"
    assert out == b"", f"{args}: output in spite of the failure"
    return error


def patched(path, name, tensor, change):
    """The model at `path` under another name, whose tensor's bytes `change` has had as a bytearray."""
    data = bytearray(pathlib.Path(path).read_bytes())
    length = int.from_bytes(data[:8], "little")
    first, last = (8 + length + at for at in json.loads(data[8:8 + length])[tensor]["data_offsets"])
    values = data[first:last]
    change(values)
    data[first:last] = values
    return file(name, bytes(data))


def with_infinite_word(name, word):
    """A model that has an infinite number in the row of a word: texts with it have no finite answer."""
    token = rows("tokenize", model(name), word)[0]["ids"][1]
    path = patched(model(name), f"{name}-{word}.retort", "embeddings.word",
                   lambda data: data.__setitem__(slice(64 * token, 64 * token + 4), b"\x00\x00\x80\x7f"))  # 16 floats per row
    return path


def folder(source, name, changes=None, without=()):
    """A copy of a golden checkpoint; `changes`: files and the members of their JSON that become others (None: go), or
    their whole content."""
    path = HERE / name
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(checkpoint(source), path)
    for gone in without:
        (path / gone).unlink()
    for name, change in (changes or {}).items():
        at = path / name
        at.parent.mkdir(exist_ok=True)
        if isinstance(change, (str, bytes)):
            at.write_bytes(change if isinstance(change, bytes) else change.encode())
            continue
        if isinstance(change, dict) and at.exists():
            change = {**json.loads(at.read_text()), **change}
            change = {key: value for key, value in change.items() if value is not None}
        at.write_text(json.dumps(change))
    return path


def read_safetensors(path):
    """{name: (type, shape, bytes)}"""
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header, data = json.loads(data[8 : 8 + size]), data[8 + size :]
    header.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"], data[slice(*t["data_offsets"])]) for name, t in header.items()}


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, part) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


def with_labels(source, name, labels, **config):
    """A copy of a golden classifier that has only its first labels."""
    names = {f"LABEL_{i}": i for i in range(labels)}
    settings = {"id2label": {str(i): label for label, i in names.items()}, "label2id": names, **config}
    path = folder(source, name, {"config.json": settings})
    tensors = read_safetensors(path / "model.safetensors")
    for part in ("classifier.weight", "classifier.bias"):
        dtype, shape, data = tensors[part]
        tensors[part] = (dtype, [labels, *shape[1:]], data[: len(data) // shape[0] * labels])
    write_safetensors(path / "model.safetensors", tensors)
    return path


def close(a, b, tolerance=2e-5):
    assert abs(a - b) <= tolerance, f"{a} is not {b}"


def undisturbed(attempt, tries=5):
    """The result of an attempt to see what a machine shows that nothing holds up. What else runs there spoils some, a fault all."""
    while True:
        tries -= 1
        try:
            return attempt()
        except AssertionError:
            if tries == 0:
                raise


def wait_until(condition, what, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def main():
    """Runs the tests in the order of their definition."""
    print(f"1..{len(tests)}")
    failed = 0
    for number, function in enumerate(tests, 1):
        try:
            function()
            print(f"ok {number} - {function.__name__}", flush=True)
        except Skip as why:
            print(f"ok {number} # SKIP {function.__name__}: {why}", flush=True)
        except Exception as error:  # an assertion, or anything that a broken program makes of the test
            failed += 1
            print(f"not ok {number} - {function.__name__}\n# {type(error).__name__}: {error}", flush=True)
    sys.exit(failed > 0)
