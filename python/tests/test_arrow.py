# SPDX-License-Identifier: Apache-2.0
"""Columns of pyarrow, Polars and DuckDB: the answers are those of the same texts in a list."""
import gc

from harness import Skip, file, main, raises, test

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
    raises(Error, "texts of type 'l'", lambda: list(model.predict_arrow(pyarrow.array([1, 2]))))
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
def polars():
    try:
        import polars
    except ImportError as error:
        raise Skip(str(error)) from None
    model, series = Model(file("distilbert-classify")), polars.Series(TEXTS)
    column = series.to_arrow(compat_level=polars.CompatLevel.oldest())
    assert polars.from_arrow(answers(model, column)).to_list() == answers(model, pyarrow.array(TEXTS)).to_pylist()
    raises(Error, "texts of type 'vu'", lambda: list(model.predict_arrow(series)))


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
