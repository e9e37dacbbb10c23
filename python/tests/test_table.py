# SPDX-License-Identifier: Apache-2.0
"""Parquet and Arrow files: the answers are those of `retort run --input` to the same rows."""
import contextlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys

from harness import HERE, checkpoint, file, main, raises, retort, test

import numpy

from retort_cpu import Error, Model, _command, _files, _formats, _table, quantize, run_table

try:
    import pyarrow
    import pyarrow.feather
    import pyarrow.parquet
except ImportError as error:
    print(f"not ok 1 # SKIP pyarrow: {error}\n1..1")
    raise SystemExit(0)

TEXTS = [None if i % 50 == 7 else f"good film {i}" if i % 3 else f"é bad {i % 11}" for i in range(20000)]


def table(**more):
    return pyarrow.table({"id": range(len(TEXTS)), "text": TEXTS, **more})


def wanted():
    """(label, score) by id: what the command prints has 9 digits with --scores."""
    out = HERE / "wanted.jsonl"
    if not out.exists():
        source = HERE / "rows.jsonl"
        source.write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(TEXTS) if text is not None))
        retort("run", file("distilbert-classify"), "--input", source, "--scores", "-o", out)
    rows = map(json.loads, out.read_text().splitlines())
    return {row["id"]: (row["label"], numpy.float32(row["scores"][row["label"]])) for row in rows}


def check(found, count=len(TEXTS)):
    assert found.column_names == ["id", "text", "label", "score"] and len(found) == count
    expected = wanted()
    for row in found.to_pylist():
        label, score = expected.get(row["id"], (None, None))
        assert row["text"] == TEXTS[row["id"]] and row["label"] == label, row
        assert row["score"] is None if score is None else numpy.float32(row["score"]) == score, row


@test
def all_formats():
    path = {name: HERE / f"in{name}" for name in (".parquet", ".PQ", ".arrow", ".feather")}
    pyarrow.parquet.write_table(table(), path[".parquet"], row_group_size=3000)
    pyarrow.parquet.write_table(table(), path[".PQ"], compression="zstd", use_dictionary=["text"])
    with pyarrow.ipc.new_stream(path[".arrow"], table().schema) as stream:
        stream.write_table(table())
    pyarrow.feather.write_feather(table(), path[".feather"], compression="lz4")
    for name, source in path.items():
        seen = []
        result = run_table(file("distilbert-classify"), source, HERE / f"out{name}", progress=lambda *state: seen.append(state))
        assert result["rows"] == len(TEXTS) and result["nulls"] == 400 and result["rows_per_second"] > 0
        assert seen[-1] == ("rows", len(TEXTS), 0 if name == ".arrow" else len(TEXTS)) and len(seen) > 2
        check((pyarrow.parquet.read_table if "p" in name.lower() and name != ".feather" else pyarrow.feather.read_table)(HERE / f"out{name}"))
    run_table(Model(file("distilbert-classify")), path[".arrow"], HERE / "other.parquet", rows=10000)
    check(pyarrow.parquet.read_table(HERE / "other.parquet"), 10000)
    assert not list(HERE.glob("*.part"))


@test
def vectors():
    source, out = HERE / "vectors.parquet", HERE / "embedded.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"body": ["good", None, "film"]}), source)
    run_table(file("bert-embed"), source, out, text_column="body", prefix="my_")
    rows = pyarrow.parquet.read_table(out)["my_embedding"].to_pylist()
    wanted = Model(file("bert-embed")).embed(["good", "film"])
    assert rows[1] is None and numpy.array_equal(numpy.float32([rows[0], rows[2]]), wanted)
    kind = pyarrow.parquet.read_schema(out).field("my_embedding").type
    assert pyarrow.types.is_list(kind), kind  # older readers take no nulls among lists of a fixed size
    for rows in ([], [None], [None, "good", None, None, "film"]):
        pyarrow.parquet.write_table(pyarrow.table({"text": pyarrow.array(rows, "string")}), source)
        for name in ("embedded.parquet", "embedded.arrow"):
            run_table(file("bert-embed"), source, HERE / name)
            found = (pyarrow.parquet.read_table if name.endswith("parquet") else pyarrow.feather.read_table)(HERE / name)["embedding"]
            vectors = iter(wanted.tolist())
            assert found.to_pylist() == [None if row is None else next(vectors) for row in rows], (rows, name)
    assert found.type.list_size == wanted.shape[1]


@test
def an_old_pyarrow_is_named():
    new, pyarrow.__version__ = pyarrow.__version__, "14.0.2"
    try:
        error = raises(Error, "need pyarrow 16 or later, found 14.0.2", run_table, "none.retort", "a.parquet", "b.parquet")
    finally:
        pyarrow.__version__ = new
    assert error.status == "PROVIDER"


@test
def categories_and_empty_tables():
    source, out = HERE / "category.arrow", HERE / "category-out.arrow"
    pyarrow.feather.write_feather(table().set_column(1, "text", table()["text"].dictionary_encode()), source)
    run_table(file("distilbert-classify"), source, out)
    found = pyarrow.feather.read_table(out)
    check(found.set_column(1, "text", found["text"].cast("string")))
    pyarrow.parquet.write_table(table().slice(0, 0), HERE / "empty.parquet")
    assert run_table(file("distilbert-classify"), HERE / "empty.parquet", HERE / "empty-out.parquet")["rows"] == 0
    assert pyarrow.parquet.read_table(HERE / "empty-out.parquet").column_names == ["id", "text", "label", "score"]


@test
def what_is_refused():
    source, out, model = HERE / "refused.parquet", HERE / "refused-out.parquet", file("distilbert-classify")
    pyarrow.parquet.write_table(table(label=["x"] * len(TEXTS)), source)
    raises(Error, "there is a column 'label' already: prefix", run_table, model, source, out)
    raises(Error, "no column 'body'; there are 'id', 'text', 'label'", run_table, model, source, out, text_column="body")
    raises(Error, "column 'id' is int64: expected texts", run_table, model, source, out, text_column="id", prefix="my_")
    raises(Error, "would be written over", run_table, model, source, source, prefix="my_")
    raises(Error, "expected the name of a Parquet file", run_table, model, source, HERE / "out.csv")
    raises(Error, "the model was made to tag", run_table, file("bert-tag"), source, out)
    (HERE / "noise.parquet").write_bytes(b"PAR1" + bytes(100))
    raises(Error, "noise.parquet: ", run_table, model, HERE / "noise.parquet", out)
    (HERE / "noise.arrow").write_bytes(bytes(range(200)))
    raises(Error, "noise.arrow: ", run_table, model, HERE / "noise.arrow", out)
    assert raises(Error, "gone.parquet: ", run_table, model, HERE / "gone.parquet", out).status == "IO"
    assert not out.exists() and not list(HERE.glob("*.part"))
    with pyarrow.OSFile(str(HERE / "whole.arrow"), "wb") as sink, pyarrow.ipc.new_stream(sink, table().schema) as writer:
        writer.write_table(table(), 1000)
    whole = (HERE / "whole.arrow").read_bytes()
    (HERE / "cut.arrow").write_bytes(whole[:len(whole) // 2])
    raises(Error, "cut.arrow: ", run_table, model, HERE / "cut.arrow", out)
    raises(Error, "rows: 0: expected a whole number from 1", run_table, model, HERE / "whole.arrow", out, rows=0)
    assert not out.exists() and not list(HERE.glob("*.part"))


@test
def a_link_is_written_through_and_nothing_else_is_touched():
    model, target, link = file("distilbert-classify"), HERE / "target.parquet", HERE / "link.parquet"
    source = HERE / "linked.parquet.part"  # what a part of the output might be called
    pyarrow.parquet.write_table(table().slice(0, 50), HERE / "linked-source.parquet")
    source.write_bytes((HERE / "linked-source.parquet").read_bytes())
    link.symlink_to(target)
    run_table(model, HERE / "linked-source.parquet", link)
    assert link.is_symlink() and pyarrow.parquet.read_table(target).num_rows == 50
    run_table(model, HERE / "linked-source.parquet", HERE / "linked.parquet")
    assert source.read_bytes() == (HERE / "linked-source.parquet").read_bytes()
    source.unlink()


@test
def scores_of_all_labels():
    source, out, model = HERE / "scores.parquet", HERE / "scores-out.parquet", Model(file("distilbert-classify"))
    pyarrow.parquet.write_table(table().slice(0, 3000), source)
    run_table(model, source, out, scores=True)
    found = pyarrow.parquet.read_table(out)
    check(found.drop_columns("scores"), 3000)
    every = model.scores([text for text in TEXTS[:3000] if text is not None])
    rows = [row for row in found["scores"].to_pylist() if row is not None]
    assert list(rows[0]) == model.labels and numpy.array_equal(numpy.float32([list(row.values()) for row in rows]), every)
    assert [row is None for row in found["scores"].to_pylist()] == [text is None for text in TEXTS[:3000]]
    raises(Error, "scores (--scores): the model was made to embed", run_table, file("bert-embed"), source, out, scores=True)
    folder = HERE / "repeated"
    shutil.copytree(checkpoint("distilbert-classify"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "id2label": {"0": "a", "1": "a", "2": "b"}, "label2id": {"a": 0, "b": 2}}))
    raises(Error, "the model has labels of the same name", run_table, folder, source, out, scores=True)
    assert run_table(folder, source, out)["rows"] == 3000


@test
def texts_that_are_not_utf8_are_bad_rows():
    kinds = {"string": pyarrow.string(), "large": pyarrow.large_string(), "category": pyarrow.dictionary(pyarrow.int32(), pyarrow.string())}
    for name, kind in kinds.items():
        source, out = HERE / f"bad-{name}.arrow", HERE / f"bad-{name}-out.parquet"
        damaged = [None if text is None else text.encode() for text in TEXTS]
        damaged[12], damaged[19999] = b"good \xff", b"\xc3"
        binary = pyarrow.array(damaged, pyarrow.large_binary() if name == "large" else pyarrow.binary())
        flat = pyarrow.Array.from_buffers(pyarrow.large_string() if name == "large" else pyarrow.string(), len(binary), binary.buffers(), binary.null_count)
        texts = flat.dictionary_encode() if name == "category" else flat
        assert texts.type == kind
        pyarrow.feather.write_feather(pyarrow.table({"id": range(len(TEXTS)), "text": texts}), source)
        result = run_table(file("distilbert-classify"), source, out)
        assert result["bad_rows"] == 2 and result["nulls"] == 400, result
        found = pyarrow.parquet.read_table(out)
        check(found.set_column(1, "text", found["text"].cast("string")), len(TEXTS) - 2)
        bad = [json.loads(line) for line in open(f"{out}.bad.jsonl")]
        assert bad == [{"row": 12, "problem": "not UTF-8 from byte 5 on"}, {"row": 19999, "problem": "not UTF-8 from byte 0 on"}], bad
    with open(HERE / "aside.jsonl", "w+") as aside:
        said = command(file("distilbert-classify"), "-i", source, "-o", out, "--bad-rows", aside.name, code=0)[1]
        assert f"2 bad rows in {aside.name}" in said and len(open(aside.name).readlines()) == 2
    pyarrow.parquet.write_table(table(), HERE / "good.parquet")
    with open(HERE / "log", "a") as log:
        for path, bad in ((source, 2), (HERE / "good.parquet", 0)):
            subprocess.run([sys.executable, "-m", "retort_cpu", "run", file("distilbert-classify"), "-i", path, "-o", out, "--bad-rows", "/dev/stderr"],
                           stderr=log, check=True, timeout=300)
            lines = (HERE / "log").read_text().splitlines()
            assert sum(line.startswith('{"row"') for line in lines) == 2 and len(lines) == (3 if bad else 4), lines
    run_table(file("distilbert-classify"), HERE / "good.parquet", out, rows=100)
    assert not os.path.exists(f"{out}.bad.jsonl")  # it said what was wrong with another input


@test
def what_progress_raises_comes_out():
    source = HERE / "raises.parquet"
    pyarrow.parquet.write_table(table(), source)

    def fail(*_):
        raise BrokenPipeError(32, "gone")
    raises(BrokenPipeError, "gone", run_table, file("distilbert-classify"), source, HERE / "raises-out.parquet", progress=fail)


@test
def texts_that_are_cut_are_counted():
    source, out, rows = HERE / "long.parquet", HERE / "long-out.parquet", HERE / "long.jsonl"
    texts = ["good " * (600 if i % 40 == 3 else 2) for i in range(200)]
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), source)
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    wanted = retort("run", file("distilbert-classify"), "--input", rows, "-o", HERE / "long-out.jsonl")[0]["truncated"]
    model = Model(file("distilbert-classify"))
    model.scores(texts[:4])
    assert run_table(model, source, out)["truncated"] == wanted == 5 and model.truncated == 6
    assert f"5 of 200 texts were truncated: the model reads at most {model.info['max_length']} tokens" in command(
        file("distilbert-classify"), "-i", source, "-o", out)[1]


KILLED = """
import os, sys
from retort_cpu import _files, _table
_table.SAVE_SECONDS = -1
_table.run_table(*sys.argv[1:4], progress=lambda _, done, total: os.kill(os.getpid(), 9) if done >= 2 * _files.BATCH_ROWS else None)
"""


@test
def a_run_that_was_killed_goes_on():
    source, out, model, seen = HERE / "killed.parquet", HERE / "killed-out.parquet", file("distilbert-classify"), []
    pyarrow.parquet.write_table(table(), source, row_group_size=5000)
    killed = subprocess.run([sys.executable, "-c", KILLED, model, source, out], capture_output=True, text=True, timeout=300)
    assert killed.returncode == -9 and not out.exists(), killed.stderr
    parts = HERE / "killed-out.parquet.parts"
    assert len(list(parts.glob("*.arrow"))) >= 1
    (parts / "000000009999.arrow.next").write_bytes(b"half of a file")
    raises(Error, "has the answers of a run that did not end", run_table, model, source, out)
    error = raises(Error, "was begun with another input, model or options", run_table, file("bert-embed"), source, out, resume=True)
    assert "model: then " in str(error)
    raises(Error, "prefix: then '', now 'my_'", run_table, model, source, out, prefix="my_", resume=True)
    raises(Error, "a model in memory is not known again", run_table, quantize(Model(checkpoint("distilbert-classify")), "int8"), source, out, resume=True)
    answered = sum(batch.num_rows for path in parts.glob("*.arrow") for batch in pyarrow.ipc.open_stream(path.read_bytes()))
    result = run_table(model, source, out, resume=True, progress=lambda _, done, total: seen.append((done, total)))
    assert result["rows"] == len(TEXTS) and seen[0][0] == answered > 0 and seen[-1] == (len(TEXTS), len(TEXTS)), seen
    check(pyarrow.parquet.read_table(out))
    assert not parts.exists()
    assert run_table(model, source, out, resume=True)["rows"] == len(TEXTS)  # nothing to go on with: from the beginning


@test
def a_slow_model_is_asked_for_little_at_once():
    batches = [pyarrow.record_batch({"n": list(range(first, first + 8192))}) for first in (0, 8192)]
    for rate in (0.5, 100, 3000, 1e6):  # rows per second of a clock that only answers move
        class Clock:
            now = 0

            @staticmethod
            def monotonic():
                return Clock.now
        saved, _table.time = _table.time, Clock
        try:
            seen, took = [], []
            for piece in _table._pieces(batches):
                seen += piece["n"].to_pylist()
                took.append(len(piece) / rate)
                Clock.now += took[-1]
        finally:
            _table.time = saved
        assert seen == list(range(16384)), rate
        assert max(took[1:]) <= max(1, 1 / rate) + 1e-9, (rate, max(took[1:]))
        assert rate < 1e6 or len(took) < 10, len(took)


@test
def one_run_at_a_time_and_damaged_parts():
    source, out, model = HERE / "twice.parquet", HERE / "twice-out.parquet", file("distilbert-classify")
    pyarrow.parquet.write_table(table(), source)
    inside = []

    def again(*_):
        inside.append(raises(Error, "another run writes there", run_table, model, source, out, resume=True))
    run_table(model, source, out, progress=again)
    assert inside
    subprocess.run([sys.executable, "-c", KILLED, model, source, out], capture_output=True, timeout=300)
    part = next((HERE / "twice-out.parquet.parts").glob("*.arrow"))
    whole = part.read_bytes()
    part.write_bytes(whole[:len(whole) // 2])
    raises(Error, f"{part}: ", run_table, model, source, out, resume=True)
    (part.parent / "settings.json").write_text("[")
    raises(Error, "does not say what the answers beside it belong to", run_table, model, source, out, resume=True)


INTERRUPTED = ("_answer", "save", "put", "_write", "read", "_read", "close", "_written", "end", "add", "_begin", "_go_on", "__exit__")


def interrupted_at(step, function, *arguments, **more):
    """Calls a function, with Ctrl-C before the `step`th line that runs in one of those functions of the package. Whether there was one."""
    seen = [0]

    def line(frame, event, _):
        if event == "line":
            seen[0] += 1
            if seen[0] == step:
                raise KeyboardInterrupt
        return line

    def call(frame, *_):
        ours = frame.f_code.co_filename.endswith(("_table.py", "_parts.py"))
        return line if ours and frame.f_code.co_name in INTERRUPTED else None
    sys.settrace(call)
    try:
        function(*arguments, **more)
        return False
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)


@test
def an_interrupt_in_any_line_loses_and_doubles_nothing():
    folder = HERE / "interrupted"
    folder.mkdir()
    source, out, model, step = folder / "in.parquet", folder / "out.parquet", Model(file("distilbert-classify"), threads=1), 0
    pyarrow.parquet.write_table(table().slice(0, 25), source)
    before = _files.BATCH_ROWS, _table.SAVE_SECONDS
    _files.BATCH_ROWS, _table.SAVE_SECONDS = 8, -1
    try:
        while interrupted_at(step := step + 3, run_table, model, source, out):
            run_table(model, source, out, resume=True)
            check(pyarrow.parquet.read_table(out), 25)
            assert sorted(path.name for path in folder.iterdir()) == ["in.parquet", "out.parquet"], step
            out.unlink()
    finally:
        _files.BATCH_ROWS, _table.SAVE_SECONDS = before
    assert step > 100, step


KILLED_IN_THE_END = """
import os, sys
from retort_cpu import _files, _table
_files._Groups.end = lambda self: os.kill(os.getpid(), 9)
_table.run_table(*sys.argv[1:4])
"""


@test
def a_kill_while_the_output_is_written_leaves_nothing_behind():
    folder = HERE / "written"
    folder.mkdir()
    source, out, model = folder / "in.parquet", folder / "out.parquet", file("distilbert-classify")
    pyarrow.parquet.write_table(table(), source)
    assert subprocess.run([sys.executable, "-c", KILLED_IN_THE_END, model, source, out], timeout=300).returncode == -9
    assert sorted(path.name for path in folder.iterdir()) == ["in.parquet", "out.parquet.parts"]
    run_table(model, source, out, resume=True)
    check(pyarrow.parquet.read_table(out))
    assert sorted(path.name for path in folder.iterdir()) == ["in.parquet", "out.parquet"]


@test
def an_input_that_changes_meanwhile_is_refused():
    model, out = file("distilbert-classify"), HERE / "changing-out.parquet"
    for name, rows in {"same": 20000, "fewer": 19990}.items():
        source, others = HERE / f"changing-{name}.parquet", HERE / "others.parquet"
        pyarrow.parquet.write_table(table(), source)
        pyarrow.parquet.write_table(pyarrow.table({"id": range(rows), "text": ["bad"] * rows}), others)
        error = raises(Error, "was changed while it was answered: remove ", run_table, model, source, out,
                       progress=lambda _, done, total: done == total and others.exists() and os.replace(others, source))
        assert not out.exists() and f"{out}.parts" in str(error)
        raises(Error, "was begun with another input", run_table, model, source, out, resume=True)
        shutil.rmtree(f"{out}.parts")


@test
def folders_and_files_of_others_stay():
    source, out, model, parts = HERE / "foreign.parquet", HERE / "foreign-out.parquet", file("distilbert-classify"), HERE / "foreign-out.parquet.parts"
    pyarrow.parquet.write_table(table().slice(0, 50), source)
    parts.mkdir()
    for name in ("thesis.doc", "foo.arrow"):
        (parts / name).write_text("mine")
        raises(Error, f"answers are kept there, and '{name}' is none", run_table, model, source, out)
        raises(Error, f"answers are kept there, and '{name}' is none", run_table, model, source, out, resume=True)
        assert (parts / name).read_text() == "mine"
        (parts / name).unlink()
    parts.rmdir()
    (HERE / "elsewhere").mkdir()
    parts.symlink_to(HERE / "elsewhere")
    raises(Error, "in a folder of their own", run_table, model, source, out)
    parts.unlink()
    out.mkdir()
    raises(Error, "it is a folder or a device", run_table, model, source, out)
    out.rmdir()
    for bad in (source, out, model, HERE):
        raises(Error, "", run_table, model, source, out, bad_rows=bad)
    assert pyarrow.parquet.read_table(source).num_rows == 50 and not out.exists()
    stale = HERE / "foreign-out.parquet.bad.jsonl"
    stale.write_text("of an earlier run\n")
    assert run_table(model, source, out)["bad_rows"] == 0 and not stale.exists()
    assert raises(Error, "nowhere", run_table, model, source, HERE / "nowhere/out.parquet").status == "IO"


@test
def categories_of_each_row_group_become_those_of_a_file():
    groups = [pyarrow.array([f"kind {i % kinds}" for i in range(5000)]).dictionary_encode() for kinds in (3, 60, 7, 90)]
    narrow = pyarrow.chunked_array([pyarrow.DictionaryArray.from_arrays(group.indices.cast("int8"), group.dictionary) for group in groups])
    wide = pyarrow.chunked_array([pyarrow.DictionaryArray.from_arrays(pyarrow.array([i % 100 for i in range(5000)], "int8"), pyarrow.array(
        [f"{part} {i}" for i in range(100)])) for part in "abcd"])
    rows, model = table(kind=narrow, wide=wide), file("distilbert-classify")
    source, stream = HERE / "kinds.parquet", HERE / "kinds.arrow"
    pyarrow.parquet.write_table(rows, source, row_group_size=5000)
    with pyarrow.ipc.new_stream(stream, rows.schema) as writer:
        writer.write_table(rows)
    for path in (source, stream):
        run_table(model, path, HERE / "kinds-out.feather")
        found = pyarrow.feather.read_table(HERE / "kinds-out.feather")
        assert found["kind"].cast("string") == narrow.cast("string") and found["wide"].cast("string") == wide.cast("string")
        assert found["wide"].type.index_type == pyarrow.int32()
        check(found.select(["id", "text", "label", "score"]))
    texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0, 1, None, 2], "int8"), pyarrow.array(["good film 1", None, "good film 2"]))
    pyarrow.feather.write_feather(pyarrow.table({"text": texts}), HERE / "null-kind.arrow")
    assert run_table(model, HERE / "null-kind.arrow", HERE / "null-kind.parquet")["nulls"] == 2
    found = pyarrow.parquet.read_table(HERE / "null-kind.parquet")
    assert found["text"].to_pylist() == ["good film 1", None, None, "good film 2"] and found["label"].null_count == 2


@test
def what_a_format_cannot_have_is_said_before_the_first_answer():
    model, seen = file("distilbert-classify"), []
    odd = pyarrow.table({"text": ["good"], "odd": pyarrow.array([{}], pyarrow.struct([]))})
    pyarrow.feather.write_feather(odd, HERE / "odd.arrow")
    raises(Error, "odd.parquet: Parquet files cannot have these columns: ", run_table, model, HERE / "odd.arrow", HERE / "odd.parquet",
           progress=lambda *state: seen.append(state))
    assert not seen and not (HERE / "odd.parquet.parts").exists()
    run_table(model, HERE / "odd.arrow", HERE / "odd-out.arrow")
    twice = pyarrow.Table.from_arrays([pyarrow.array(["good"]), pyarrow.array([1]), pyarrow.array([2])], names=["text", "a", "a"])
    pyarrow.feather.write_feather(twice, HERE / "names.arrow")
    assert run_table(model, HERE / "names.arrow", HERE / "names-out.arrow")["rows"] == 1


@test
def memory_and_row_groups():
    source, out, model, seen = HERE / "groups.parquet", HERE / "groups-out.parquet", file("distilbert-classify"), []
    rows = pyarrow.table({"id": range(8000), "text": TEXTS[:8000], "more": [os.urandom(8192) for _ in range(8000)]})
    pyarrow.parquet.write_table(rows, source, row_group_size=500, compression="none", use_dictionary=False)
    before = _files.BATCH_ROWS
    _files.BATCH_ROWS = 100
    start = pyarrow.total_allocated_bytes()
    try:
        run_table(model, source, out, progress=lambda *_: seen.append(pyarrow.total_allocated_bytes() - start))
    finally:
        _files.BATCH_ROWS = before
    assert max(seen) < 20 << 20, max(seen)  # the file has 64 MB
    check(pyarrow.parquet.read_table(out).drop_columns("more"), 8000)
    assert pyarrow.parquet.ParquetFile(out).num_row_groups <= 2


@test
def settings_of_every_type_are_refused():
    source, out, model = HERE / "types.parquet", HERE / "types-out.parquet", file("distilbert-classify")
    pyarrow.parquet.write_table(table(), source)
    subprocess.run([sys.executable, "-c", KILLED, model, source, out], capture_output=True, timeout=300)
    settings = HERE / "types-out.parquet.parts/settings.json"
    for text in ("[]", "[[1, 2]]", "null", "3", '"ab"', "", "{", "\0", "[" * 100000):
        settings.write_text(text)
        raises(Error, "does not say what the answers beside it belong to", run_table, model, source, out, resume=True)
    settings.unlink()
    raises(Error, "does not say what the answers beside it belong to", run_table, model, source, out, resume=True)


@test
def answers_of_other_columns_or_options_are_refused():
    source, out, model = HERE / "options.parquet", HERE / "options-out.parquet", file("distilbert-classify")
    pyarrow.parquet.write_table(table(), source)
    subprocess.run([sys.executable, "-c", KILLED, model, source, out], capture_output=True, timeout=300)
    raises(Error, "special_as_text: then False, now True", run_table, Model(model, special_as_text=True), source, out, resume=True)
    part = next((HERE / "options-out.parquet.parts").glob("*.arrow"))
    with pyarrow.OSFile(str(part), "wb") as sink, pyarrow.ipc.new_stream(sink, pyarrow.schema([("x", pyarrow.int32())])) as writer:
        writer.write_table(pyarrow.table({"x": pyarrow.array(range(10), pyarrow.int32())}))
    raises(Error, f"{part}: has other columns than the answers of this run", run_table, model, source, out, resume=True)


@test
def damaged_arrow_files_do_not_end_the_process():
    model, source = file("distilbert-classify"), HERE / "sound.arrow"
    lists = pyarrow.ListArray.from_arrays(pyarrow.array([0, 5, 11, 18], "int32"), pyarrow.array(range(18), "int8"))
    kinds = pyarrow.DictionaryArray.from_arrays(pyarrow.array([7, 6, 7], "int32"), pyarrow.array([f"kind {i}" for i in range(8)]))
    views = pyarrow.array(["a string of more than 12 bytes", "another one that is long", "short"], pyarrow.string_view())
    texts = pyarrow.array(["good film", "bad film!", "film"])  # offsets 0, 9, 18, 22
    pyarrow.feather.write_feather(pyarrow.table({"text": texts, "kinds": kinds, "views": views, "lists": lists}), source, compression="uncompressed")
    whole = source.read_bytes()
    damage = {"text": ((0, 9, 18, 22), (0, 9, 1 << 30, 22)), "kinds": ((7, 6, 7), (7, 1 << 20, 7)), "lists": ((0, 5, 11, 18), (0, 1 << 30, 11, 18)),
              "negative": ((0, 5, 11, 18), (0, -(1 << 30), 11, 18))}
    for name, (old, new) in damage.items():
        old, new = (struct.pack(f"<{len(it)}i", *it) for it in (old, new))
        assert whole.count(old) == 1, name
        (HERE / "damaged.arrow").write_bytes(whole.replace(old, new).replace(b"bad film!", b"bad fil\xff!"))
        for out in ("damaged.parquet", "damaged-out.arrow"):
            said = command(model, "-i", HERE / "damaged.arrow", "-o", HERE / out, code=3, process=True)[1]
            assert said.startswith(f"retort: {HERE / 'damaged.arrow'}: ") and said.count("\n") == 1, said
            shutil.rmtree(HERE / f"{out}.parts", ignore_errors=True)
    (HERE / "damaged.arrow").write_bytes(whole.replace(b"bad film!", b"bad fil\xff!"))
    assert run_table(model, HERE / "damaged.arrow", HERE / "damaged.parquet")["bad_rows"] == 1
    (HERE / "damaged.arrow").write_bytes(whole.replace(b"lists", b"list\xff"))
    raises(Error, "the name of a column is not UTF-8", run_table, model, HERE / "damaged.arrow", HERE / "damaged.parquet")


@test
def a_run_starts_without_pandas():
    """pyarrow imports it where it makes an array of a list, and that takes longer than a thousand rows."""
    source, code = HERE / "alone.parquet", "import sys, retort_cpu; retort_cpu.run_table(*sys.argv[1:]); print('pandas' in sys.modules)"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["good", None, "film"]}), source)
    done = subprocess.run([sys.executable, "-c", code, file("distilbert-classify"), source, HERE / "alone-out.parquet"], capture_output=True, text=True)
    assert done.stdout == "False\n", done


CUT = """
import os, sys
from retort_cpu import _files, _table
_files.BATCH_ROWS = 100
_table.run_table(*sys.argv[1:], progress=lambda _, done, total: os.truncate(sys.argv[2], 4096) if done >= 200 else None)
"""


@test
def a_file_that_is_cut_short_meanwhile_is_an_error():
    """A mapped one would end the process by a signal."""
    model, source = file("distilbert-classify"), HERE / "short.arrow"
    for write in (pyarrow.ipc.new_file, pyarrow.ipc.new_stream):
        with pyarrow.OSFile(str(source), "wb") as sink, write(sink, table().schema) as writer:
            writer.write_table(table(), 100)
        done = subprocess.run([sys.executable, "-c", CUT, model, source, HERE / "short-out.arrow"], capture_output=True, text=True, timeout=300)
        assert done.returncode == 1 and f"retort_cpu._library.Error: {source}: " in done.stderr, done
        shutil.rmtree(HERE / "short-out.arrow.parts")


@test
def texts_are_checked_once():
    checked, whole = [], _files.is_utf8
    for name in ("once.arrow", "once.parquet"):
        source = str(HERE / name)
        (pyarrow.feather.write_feather if name.endswith("arrow") else pyarrow.parquet.write_table)(table().slice(0, 3000), source)
        opened = _files.open_file(pyarrow, source)[0]
        _files.is_utf8 = _table.is_utf8 = lambda *given: checked.append(given[1].type) or whole(*given)
        try:
            for piece in _files.record_batches(pyarrow, source, 0, None, "text"):
                _table._checked(pyarrow, source, piece["text"])
        finally:
            _files.is_utf8 = _table.is_utf8 = whole
        assert checked.count(opened.field("text").type) == 1 and checked.count(pyarrow.int64()) == (name == "once.arrow"), checked
        checked.clear()


EARLY = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
raise ImportError("not here")
"""


@test
def an_interrupt_while_the_command_starts_ends_it_without_a_traceback():
    folder = HERE / "early"
    folder.mkdir()
    (folder / "numpy.py").write_text(EARLY)
    for start in (["-m", "retort_cpu"], ["-c", "from retort_cpu.__main__ import main; main()"]):
        done = subprocess.run([sys.executable, *start, "run", "-i", "a.parquet", "-o", "b.parquet"], capture_output=True, text=True, timeout=100,
                              env={**os.environ, "PYTHONPATH": f"{folder}:{os.environ['PYTHONPATH']}"})
        assert done.returncode == -2 and done.stderr == "", done
        done = subprocess.run([sys.executable, *start, "--version"], capture_output=True, text=True, timeout=100,
                              env={**os.environ, "PYTHONPATH": f"{folder}:{os.environ['PYTHONPATH']}"})
        assert done.returncode == 0 and done.stderr == "", done  # no other verb needs NumPy


@test
def an_old_feather_file_is_named():
    (HERE / "old.feather").write_bytes(b"FEA1" + bytes(60) + b"FEA1")
    raises(Error, "old.feather: Feather version 1: expected version 2", run_table, file("distilbert-classify"), HERE / "old.feather", HERE / "new.feather")


def command(*arguments, code=0, process=False, **environment):
    """What it prints; in this process, as each start takes half a second, unless it says otherwise."""
    arguments = ["run", *map(str, arguments)]
    if process or environment or not _formats.is_ours(arguments):
        done = subprocess.run([sys.executable, "-m", "retort_cpu", *arguments], capture_output=True, text=True, timeout=300,
                              env={**os.environ, **environment})
        found, printed, said = done.returncode, done.stdout, done.stderr
    else:
        with contextlib.redirect_stdout(io.StringIO()) as stdout, contextlib.redirect_stderr(io.StringIO()) as stderr:
            try:
                found = _command.command(arguments)
            except SystemExit as end:
                found = end.code
        printed, said = stdout.getvalue(), stderr.getvalue()
    assert found == code, (found, said)
    return printed, said


@test
def the_command():
    source, out, model = HERE / "command.parquet", HERE / "command-out.arrow", file("distilbert-classify")
    pyarrow.parquet.write_table(table(), source)
    assert "20000 rows in" in command(model, "--input", source, "-o", out, "--threads", 1, process=True)[1]
    check(pyarrow.feather.read_table(out))
    assert json.loads(command(model, f"--input={source}", "-o", out, "--rows", 100, "--json")[0])["rows"] == 100
    check(pyarrow.feather.read_table(out), 100)
    assert "--top" in command(model, "-i", source, "-o", out, "--top", "2", code=2, process=True)[1]
    assert "would be written over" in command(model, "-i", source, "-o", source, code=2)[1]
    assert "out.csv: expected the name of a Parquet file" in command(model, "-i", source, "-o", HERE / "out.csv", code=2)[1]
    for wrong, words in {("--rows", "0"): "'0' is not a whole number from 1 to", ("--threads", "-1"): "'-1' is not a whole number from 0 to 1024",
                         ("--isa", "sse"): "invalid choice: 'sse'", ("--top", "2"): "have fewer options than TSV",
                         ("--prefix",): "expected one argument", ("--bad-rows", out): "would be written over"}.items():
        lines = command(model, "-i", source, "-o", out, *wrong, code=2)[1].splitlines()
        assert len(lines) == 2 and words in lines[0] and lines[1].startswith("usage: "), lines
    for given in ([f"-i{HERE / 'rows.csv'}", f"-o{out}"], ["--input", HERE / "rows.csv", f"--output={out}"]):
        assert "rows.csv: expected the name of a Parquet file" in command(model, *given, code=2)[1]
    pyarrow.parquet.write_table(table().append_column("label", [["old"] * len(TEXTS)]), HERE / "labelled.parquet")
    assert "prefix (--prefix) names those" in command(model, "-i", HERE / "labelled.parquet", "-o", out, code=2)[1]
    assert "the model was made to tag" in command(file("bert-tag"), "-i", source, "-o", out, code=2)[1]
    for name in ("none.parquet", "none.arrow"):
        said = command(model, "-i", HERE / name, "-o", out, code=3)[1]
        assert said == f"retort: {HERE / name}: cannot open: No such file or directory\n", said
    assert "--bad-rows FILE" in command("-i", source, "--help")[0] and "Parquet and Arrow" in command("--help")[0]
    assert "no column 'body'" in command(model, "-i", source, "-o", out, "--text-column", "body", code=3)[1]
    assert "nowhere/out.parquet.parts: cannot write: No such file" in command(model, "-i", source, "-o", HERE / "nowhere/out.parquet", code=1)[1]
    said = command(model, "-i", source, "-o", out, "--rows", 10, "--bad-rows", HERE, code=1)[1]
    assert said.startswith(f"retort: {HERE}: cannot write: "), said
    (HERE / "without").mkdir()
    (HERE / "without/pyarrow.py").write_text("raise ImportError('not here')")
    error = command(model, "-i", source, "-o", out, code=5, PYTHONPATH=f"{HERE}/without:{os.environ['PYTHONPATH']}")[1]
    assert "pip install pyarrow" in error, error
    (HERE / "rows.csv").write_text("text\ngood film\n")
    assert command(model, "--input", HERE / "rows.csv")[0].startswith("text,label,score\ngood film,")  # the program's own


main()
