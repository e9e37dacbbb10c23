# SPDX-License-Identifier: Apache-2.0
"""Columns of pyarrow, Polars and DuckDB: the answers are those of the same texts in a list."""
import gc
import os
import subprocess
import sys

from harness import ROOT, Skip, file, main, raises, test

import numpy

from retort_cpu import Error, Model

try:
    import pyarrow
except ImportError as error:
    print(f"not ok 1 # SKIP pyarrow: {error}\n1..1")
    raise SystemExit(0)

TEXTS = ["a good film", None, "bad", ""] * 50


def answers(model, column, name=None):
    out = pyarrow.chunked_array([pyarrow.array(chunk) for chunk in model.predict_arrow(column, name)])
    out.validate(full=True)
    return out


@test
def chunks_with_nulls():
    model = Model(file("distilbert-classify"))
    column = pyarrow.chunked_array([TEXTS[:120], TEXTS[120:], pyarrow.array([], pyarrow.string())])
    out = answers(model, column)
    assert [len(chunk) for chunk in out.chunks] == [120, 80, 0]
    found = out.to_pylist()
    assert all((row["label"] is None) == (row["score"] is None) == (text is None) for text, row in zip(TEXTS, found))
    best = model.classify([text for text in TEXTS if text is not None])
    assert [row for row in found if row["label"] is not None] == [row[0] for row in best]


@test
def large_texts_of_a_table():
    model = Model(file("distilbert-classify"))
    table = pyarrow.table({"id": range(len(TEXTS)), "body": pyarrow.array(TEXTS, pyarrow.large_string())})
    assert answers(model, table, "body").to_pylist() == answers(model, pyarrow.array(TEXTS)).to_pylist()
    assert answers(model, table.slice(7, 9), "body").to_pylist() == answers(model, pyarrow.array(TEXTS[7:16])).to_pylist()


@test
def vectors():
    model = Model(file("bert-embed"))
    out = answers(model, pyarrow.array(["good", None, "film"]))
    rows = [row["embedding"] for row in out.to_pylist()]
    assert rows[1] is None and numpy.array_equal(numpy.array([rows[0], rows[2]], numpy.float32), model.embed(["good", "film"]))


@test
def what_is_refused():
    model = Model(file("distilbert-classify"))
    raises(Error, "list is no Arrow column", lambda: list(model.predict_arrow(["good"])))
    raises(Error, "texts of type 'int64'", lambda: list(model.predict_arrow(pyarrow.array([1, 2]))))
    raises(Error, "a table: name its column of texts", lambda: list(model.predict_arrow(pyarrow.table({"text": ["good"]}))))
    raises(Error, "nothing", lambda: list(model.predict_arrow(pyarrow.table({"a": ["good"]}), "nothing")))
    chunk = next(model.predict_arrow(pyarrow.array(["good"])))
    pyarrow.array(chunk)
    raises(Error, "taken already", lambda: pyarrow.array(chunk))


@test
def what_nobody_takes_is_released():
    model, column = Model(file("distilbert-classify")), pyarrow.array(TEXTS)
    list(model.predict_arrow(column))
    gc.collect()
    before = pyarrow.total_allocated_bytes()
    for _ in range(50):
        next(model.predict_arrow(pyarrow.chunked_array([column, column])))
    gc.collect()
    assert pyarrow.total_allocated_bytes() == before


@test
def one_array_is_taken_whole():
    model, column = Model(file("distilbert-classify")), pyarrow.array(TEXTS)
    assert pyarrow.array(model.predict_arrow(column)).to_pylist() == answers(model, column).to_pylist()
    taken = model.predict_arrow(column)
    pyarrow.array(taken)
    raises(Error, "taken already", lambda: pyarrow.array(taken))
    assert list(taken) == []


@test
def dictionaries():
    model = Model(file("distilbert-classify"))
    column = pyarrow.chunked_array([pyarrow.array(TEXTS[:120]), pyarrow.array(TEXTS[120:])]).dictionary_encode()
    assert answers(model, column).to_pylist() == answers(model, pyarrow.array(TEXTS)).to_pylist()
    assert answers(model, column.slice(7, 9)).to_pylist() == answers(model, pyarrow.array(TEXTS[7:16])).to_pylist()


@test
def streams_are_taken_whole():
    model = Model(file("distilbert-classify"))
    table = pyarrow.table({"id": range(len(TEXTS)), "body": pyarrow.chunked_array([TEXTS[:120], TEXTS[120:]])})
    wanted = answers(model, table, "body").to_pylist()
    assert pyarrow.table(model.predict_arrow(table, "body")).to_pylist() == wanted
    reader = pyarrow.RecordBatchReader.from_stream(model.predict_arrow(table, "body"))
    del model, table
    gc.collect()
    first = reader.read_next_batch()
    assert reader.schema.names == ["label", "score"] and first.to_pylist() == wanted[:120]
    assert reader.read_all().to_pylist() == wanted[120:]
    model = Model(file("distilbert-classify"))
    begun = model.predict_arrow(pyarrow.chunked_array([TEXTS[:120], TEXTS[120:]]))
    next(begun)
    assert pyarrow.table(begun).to_pylist() == wanted[120:]
    raises(Error, "taken already", lambda: pyarrow.table(begun))
    raises(Error, "taken already", lambda: next(begun))
    raises(Exception, "there is no column 'other'", lambda: pyarrow.table(model.predict_arrow(pyarrow.table({"a": TEXTS}), "other")))
    raises(Error, "threads", lambda: pyarrow.table(Model(file("distilbert-classify"), threads=5000).predict_arrow(pyarrow.table({"a": TEXTS}), "a")))


@test
def streams_take_no_more_memory_than_a_chunk():
    def batches(count):
        for i in range(count):
            yield pyarrow.record_batch({"body": [f"good film {i} " * 50] * 2000})

    def peak(count):
        with open("/proc/self/clear_refs", "w") as clear:
            clear.write("5")  # VmHWM begins anew
        source = pyarrow.RecordBatchReader.from_batches(pyarrow.schema({"body": pyarrow.string()}), batches(count))
        rows = sum(len(batch) for batch in pyarrow.RecordBatchReader.from_stream(model.predict_arrow(source, "body")))
        assert rows == count * 2000
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

    model = Model(file("distilbert-classify"), threads=1)
    peak(4)
    few, many = peak(4), peak(40)  # 1.4 MB each
    assert many < few + 8000, f"{few} KB, {many} KB"


@test
def small_batches_are_answered_together_and_in_order():
    model, schema = Model(file("distilbert-classify"), threads=1), pyarrow.schema({"body": pyarrow.string()})
    texts = [None if i % 7 == 0 else "" if i % 11 == 0 else f"good film {i % 40}" for i in range(2000)]
    wanted, read = pyarrow.array(model.predict_arrow(pyarrow.array(texts))).to_pylist(), []

    def rows(broken):
        for i, text in enumerate(texts):
            read.append(i)
            if i == broken:
                raise ValueError("the source is gone")
            yield pyarrow.record_batch({"body": pyarrow.array([text], pyarrow.string())})

    def stream(broken=None):
        read.clear()
        return model.predict_arrow(pyarrow.RecordBatchReader.from_batches(schema, rows(broken)), "body")

    found = pyarrow.table(stream())
    assert found.to_pylist() == wanted and found["label"].num_chunks == len(texts)
    assert [pyarrow.array(chunk).to_pylist() for chunk in stream()] == [[row] for row in wanted]
    begun = stream()
    first = pyarrow.array(next(begun)).to_pylist()
    assert first == wanted[:1] and 1 < len(read) <= 513, len(read)
    assert pyarrow.table(begun).to_pylist() == wanted[1:]
    begun, got = stream(700), []
    raises(Error, "the source is gone", lambda: got.extend(pyarrow.array(chunk).to_pylist()[0] for chunk in begun))
    assert got == wanted[:700]  # what came before the failure is answered first
    vectors = Model(file("bert-embed"), threads=1)
    whole = pyarrow.array(vectors.predict_arrow(pyarrow.array(texts[:300])))
    one_by_one = pyarrow.chunked_array([[text] for text in texts[:300]], pyarrow.string())
    assert pyarrow.chunked_array([pyarrow.array(chunk) for chunk in vectors.predict_arrow(one_by_one)]).to_pylist() == whole.to_pylist()


@test
def texts_that_are_cut_are_counted_and_sessions_come_back():
    model = Model(file("distilbert-classify"), threads=1)
    column = pyarrow.chunked_array([["good " * 600], ["good"]])
    assert len(list(model.predict_arrow(column))) == 2
    assert model.truncated == 1 and sum(map(len, model._sessions.values())) == 1
    pyarrow.table(model.predict_arrow(pyarrow.table({"body": column}), "body"))  # takes the session with it
    assert sum(map(len, model._sessions.values())) == 0 and len(model.classify(["good"])) == 1


@test
def one_thread_and_one_process_read_a_stream():
    def rows():
        yield pyarrow.record_batch({"body": ["good"]})
        raises(Error, "one thread at a time", next, inside[0])
        yield pyarrow.record_batch({"body": ["bad"]})

    model = Model(file("distilbert-classify"), threads=2)
    inside = [model.predict_arrow(pyarrow.RecordBatchReader.from_batches(pyarrow.schema({"body": pyarrow.string()}), rows()), "body")]
    assert len(list(inside[0])) == 2
    begun = model.predict_arrow(pyarrow.chunked_array([TEXTS, TEXTS]))
    next(begun)
    child = os.fork()
    if child == 0:
        try:
            raises(Error, "before the fork", next, begun)
            del begun
            os._exit(len(model.classify(TEXTS[:1])) - 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 and len(next(begun)) == len(TEXTS)


INTERRUPTED = """
import os, signal, sys, threading, time
import pyarrow
from retort_cpu import Model
how, path = sys.argv[1:]
model, texts = Model(path, threads=1), pyarrow.array([f"a film that goes on and on, number {i}" for i in range(400000)])
list(model.predict_arrow(pyarrow.array(["good"])))
calls = {"array": lambda: pyarrow.array(model.predict_arrow(texts)), "chunk": lambda: next(model.predict_arrow(pyarrow.chunked_array([texts]))),
         "whole": lambda: pyarrow.table(model.predict_arrow(pyarrow.table({"body": texts}), "body"))}
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    calls[how]()
except KeyboardInterrupt:
    print("KeyboardInterrupt")
except OSError as error:
    print("cancelled" in str(error))
"""


@test
def an_interrupt_ends_a_large_chunk():
    """Which takes minutes."""
    for how, said in {"array": "KeyboardInterrupt", "chunk": "KeyboardInterrupt", "whole": "True"}.items():
        done = subprocess.run([sys.executable, "-c", INTERRUPTED, how, str(ROOT / "models/sentiment.retort")], capture_output=True, text=True, timeout=60)
        assert done.stdout == f"{said}\n" and done.stderr == "", (how, done)


GOES_ON = """
import os, signal, sys, threading
import pyarrow
from retort_cpu import Model
model, texts, seen = Model(sys.argv[1], threads=1), pyarrow.array([f"a film, number {i}" for i in range(3000)]), []
wanted = pyarrow.array(model.predict_arrow(texts)).to_pylist()
signal.signal(signal.SIGINT, lambda *_: seen.append(1))
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
for column in (texts, pyarrow.chunked_array([texts])):
    assert pyarrow.array(next(model.predict_arrow(column))).to_pylist() == wanted
while not seen:
    pass
print("went on")
"""


@test
def a_handler_that_raises_nothing_lets_it_go_on():
    done = subprocess.run([sys.executable, "-c", GOES_ON, str(ROOT / "models/sentiment.retort")], capture_output=True, text=True, timeout=100)
    assert done.stdout == "went on\n" and done.stderr == "", done


@test
def polars():
    try:
        import polars
    except ImportError as error:
        raise Skip(str(error)) from None
    model, series = Model(file("distilbert-classify")), polars.Series("body", TEXTS)
    wanted = answers(model, pyarrow.array(TEXTS)).to_pylist()
    assert polars.from_arrow(answers(model, series)).to_list() == wanted  # string views
    assert polars.DataFrame(model.predict_arrow(series.to_frame(), "body")).to_dicts() == wanted
    assert polars.DataFrame(model.predict_arrow(series.cast(polars.Categorical).to_frame(), "body")).to_dicts() == wanted
    assert polars.from_arrow(answers(model, series.to_arrow(compat_level=polars.CompatLevel.oldest()))).to_list() == wanted


@test
def duckdb():
    try:
        import duckdb as engine
    except ImportError as error:
        raise Skip(str(error)) from None
    model = Model(file("distilbert-classify"))

    def label(texts):
        return answers(model, texts).chunk(0).field("label").cast(pyarrow.string())
    database = engine.connect()
    database.create_function("label", label, ["VARCHAR"], "VARCHAR", type="arrow")
    rows = database.execute("select label(text) from (values ('a good film'), ('bad')) as v(text)").fetchall()
    assert [row[0] for row in rows] == [row[0]["label"] for row in model.classify(["a good film", "bad"])]


main()
