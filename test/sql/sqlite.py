#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The extension of SQLite, loaded into Python's sqlite3, beside the command line. Prints TAP.

    sqlite.py RETORT SOURCE_ROOT EXTENSION
"""
import json
import os
import pathlib
import sqlite3
import struct
import sys
import threading
import time

DEBIAN = "/usr/bin/python3"  # another Python may be built without extensions
if not hasattr(sqlite3.Connection, "enable_load_extension") and sys.executable != DEBIAN and os.path.exists(DEBIAN):
    os.execv(DEBIAN, [DEBIAN, *sys.argv])

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "test/cli"))
from harness import HERE, Skip, close, file, main, model, rows, test, with_infinite_word

EXTENSION = sys.argv[3].removesuffix(".so")


def database(**options):
    db = sqlite3.connect(":memory:", **options)
    if not hasattr(db, "enable_load_extension"):
        raise Skip("this Python's sqlite3 loads no extensions")
    db.enable_load_extension(True)
    db.load_extension(EXTENSION)
    return db


def value(sql, *arguments):
    return database().execute(sql, arguments).fetchone()[0]


def refused(words, sql, *arguments):
    try:
        value(sql, *arguments)
    except sqlite3.OperationalError as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"{sql} was answered")


@test
def answers_of_the_command_line():
    path, text = model("distilbert-classify"), "a good film"
    expected = rows("run", path, text)[0]["labels"]
    assert value("select retort_classify(?, ?)", path, text) == expected[0]["label"]
    close(value("select retort_score(?, ?)", path, text), expected[0]["score"], 1e-7)
    scores = json.loads(value("select retort_scores(?, ?)", path, text))
    assert list(scores.items()) == [(label["label"], label["score"]) for label in expected]
    vector = value("select retort_embed(?, ?)", model("bert-embed"), text)
    assert list(struct.unpack(f"{len(vector) // 4}f", vector)) == [struct.unpack("f", struct.pack("f", x))[0] for x in rows("run", model("bert-embed"), text)[0]["embedding"]]


@test
def columns_of_a_table():
    db, path = database(), model("distilbert-classify")
    db.execute("create table reviews(id integer primary key, body text)")
    bodies = ["good film", None, "", 7, "bad"] * 40
    db.executemany("insert into reviews(body) values (?)", [(body,) for body in bodies])
    found = [row[0] for row in db.execute("select retort_classify(?, body) from reviews order by id", (path,))]
    assert found[1] is None and all((label is None) == (body is None) for label, body in zip(found, bodies))
    assert found[:5] * 40 == found and found[3] == rows("run", path, "7")[0]["labels"][0]["label"]


@test
def models_by_name():
    os.environ["RETORT_MODELS"] = f"/nowhere:{HERE}"
    assert value("select retort_classify('distilbert-classify', 'x')") == value("select retort_classify(?, 'x')", model("distilbert-classify"))
    refused("there is no other.retort in /nowhere:", "select retort_classify('other', 'x')")
    del os.environ["RETORT_MODELS"]


@test
def errors_are_errors_of_sql():
    whole = pathlib.Path(model("distilbert-classify")).read_bytes()
    refused("does not embed", "select retort_embed(?, 'x')", model("distilbert-classify"))
    refused("does not classify", "select retort_classify(?, 'x')", model("bert-tag"))
    refused("no/such.retort", "select retort_classify('no/such.retort', 'x')")
    refused("broken.retort", "select retort_classify(?, 'x')", file("broken.retort", whole[: len(whole) // 2]))
    refused("noise.retort", "select retort_classify(?, 'x')", file("noise.retort", bytes(range(256)) * 20))
    refused("empty.retort", "select retort_classify(?, 'x')", file("empty.retort", b""))
    refused("not finite", "select retort_classify(?, 'hello')", with_infinite_word("distilbert-classify", "hello"))
    assert value("select retort_classify(NULL, 'x')") is None
    refused("wrong number of arguments", "select retort_classify('x')")
    refused("the text is a blob", "select retort_classify(?, x'676f6f64')", model("distilbert-classify"))
    refused("the text is not UTF-8", "select retort_classify(?, cast(x'676fff' as text))", model("distilbert-classify"))
    refused("the name of the model is a blob", "select retort_classify(x'61', 'good')")
    refused("the name of the model is empty", "select retort_classify('', 'good')")
    refused("/a\\nb: cannot open", "select retort_classify(?, 'good')", "/a\nb")
    refused("the name of the model holds a NUL", "select retort_classify(?, 'good')", model("distilbert-classify") + "\0x")
    assert value("select retort_classify(?, cast(x'676f6f64' as text))", model("distilbert-classify")) == value("select retort_classify(?, 'good')", model("distilbert-classify"))


@test
def a_statement_is_interrupted():
    db, path = database(check_same_thread=False), model("distilbert-classify")
    over = threading.Event()

    def interrupt():
        while not over.wait(0.3):  # it does nothing to a statement that has not begun
            db.interrupt()
    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    start = time.monotonic()
    try:
        db.execute("with recursive n(i) as (select 1 union all select i + 1 from n) select count(retort_classify(?, 'film ' || i)) from n", (path,)).fetchone()
    except sqlite3.OperationalError as error:
        assert "interrupted" in str(error), error
    else:
        raise AssertionError("it ended")
    finally:
        over.set()
        interrupter.join()
    assert time.monotonic() - start < 60


@test
def threads_share_a_model():
    database().close()
    path, found = model("distilbert-classify"), []

    def work(i):
        db = database()
        found.append([db.execute("select retort_scores(?, ?)", (path, f"film {j % 5}")).fetchone()[0] for j in range(50)])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(answers == found[0] for answers in found)


@test
def views_of_others_choose_no_file():
    db = database()
    db.execute("create view v as select retort_classify('/etc/passwd', 'x')")
    try:
        db.execute("select * from v").fetchone()
    except sqlite3.OperationalError as error:
        assert "unsafe use of retort_classify" in str(error), error
    else:
        raise AssertionError("a view called it")


main()
