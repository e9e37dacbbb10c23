#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The extension of PostgreSQL in a cluster of its own, on a socket in a temporary folder, beside the command line. The
server is a copy that finds its extensions in that folder, so nothing is installed. Prints TAP.

    postgres.py RETORT SOURCE_ROOT EXTENSION BINDIR PKGLIBDIR SHAREDIR
"""
import atexit
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(sys.argv[2]) / "test/cli"))
from harness import HERE, ROOT, Skip, close, main, model, retort, rows, test, wait_until, with_infinite_word

EXTENSION, BINDIR, PKGLIBDIR, SHAREDIR = map(pathlib.Path, sys.argv[3:7])
TOP = tempfile.TemporaryDirectory(dir="/tmp")  # short: the name of a socket has 107 bytes
HOME = pathlib.Path(TOP.name)
PREFIX = os.path.commonpath([BINDIR, PKGLIBDIR, SHAREDIR])
server = None
problem = None  # why there is no server


def as_server(*command, **more):
    """Runs a command as the user of the server, who is not root."""
    root = os.getuid() == 0
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if root else []
    return subprocess.Popen([*user, *map(str, command)], stdin=subprocess.DEVNULL, cwd=HOME, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, **more)


def mirror(source):
    """A folder below HOME in the place that `source` has below the prefix, with links to all that is in it."""
    place = HOME / source.relative_to(PREFIX)
    place.mkdir(parents=True)
    for entry in source.iterdir():
        (place / entry.name).symlink_to(entry)
    return place


def build():
    """A prefix below HOME with the server and the extension."""
    bindir = HOME / BINDIR.relative_to(PREFIX)
    bindir.mkdir(parents=True)
    for program in ("postgres", "initdb"):  # they find the rest beside themselves, so they are no links
        shutil.copy(BINDIR / program, bindir / program)
    shutil.copy(EXTENSION, mirror(PKGLIBDIR) / "retort.so")
    share = mirror(SHAREDIR)
    (share / "extension").unlink()
    extensions = mirror(SHAREDIR / "extension")
    for name in ("retort.control", "retort--0.1.sql"):
        shutil.copy(ROOT / "sql" / name, extensions / name)
    return bindir


def start():
    global server
    if os.getuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(HOME, owner.pw_uid, owner.pw_gid)
    os.chmod(HOME, 0o755)
    bindir = build()
    (HOME / "models").mkdir()
    made = as_server(bindir / "initdb", "-D", HOME / "data", "-A", "trust", "-U", "postgres", "--no-sync", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = made.communicate(timeout=120)[0].decode()
    assert made.returncode == 0, output
    log = open(HOME / "log", "wb")
    server = as_server(bindir / "postgres", "-D", HOME / "data", "-k", HOME, "-c", "listen_addresses=", "-c", "fsync=off", "-c", f"retort.models={HOME}/models:{HOME}/é漢", "-c", "shared_buffers=16MB", stdout=log, stderr=log)
    atexit.register(stop)
    wait_until(answers, "PostgreSQL answers")
    sql("create extension retort")


def answers():
    assert server.poll() is None, (HOME / "log").read_text()
    return subprocess.run(["psql", "-h", HOME, "-U", "postgres", "-d", "postgres", "-c", "select 1"], capture_output=True, timeout=120).returncode == 0


def stop():
    if server is None or server.poll() is not None:
        return
    server.send_signal(2)  # fast shutdown
    try:
        server.wait(30)
    except subprocess.TimeoutExpired:
        server.kill()


def sql(*statements, code=0, user="postgres", encoding="utf-8", database="postgres"):
    """(stdout, stderr) of psql, in one session."""
    command = ["psql", "-h", HOME, "-U", user, "-d", database, "-XAtq", "-v", "ON_ERROR_STOP=1"]
    for statement in statements:
        command += ["-c", statement]
    done = subprocess.run(list(map(str, command)), capture_output=True, timeout=120, env={**os.environ, "PGCLIENTENCODING": encoding})
    assert done.returncode == code, f"{statements}: {done.returncode}: {done.stderr.decode(errors='replace')}"
    return done.stdout.decode(encoding).rstrip("\n"), done.stderr.decode(encoding)


def needs_server(function):
    def run():
        global problem
        if problem is None and server is None:
            if os.getuid() == 0 and shutil.which("setpriv") is None:
                problem = "no setpriv to leave root with"
            elif not (BINDIR / "initdb").exists() or shutil.which("psql") is None:
                problem = "no PostgreSQL server on this machine"
            else:
                start()
        if problem is not None:
            raise Skip(problem)
        function()

    run.__name__ = function.__name__
    return test(run)


def given(name, path=None):
    """A model in the folder of the server, by its name there."""
    shutil.copy(path or model(name), HOME / "models" / f"{name}.retort")
    os.chmod(HOME / "models" / f"{name}.retort", 0o644)
    return name


def refused(words, statement, **more):
    error = sql(statement, code=1, **more)[1]
    assert words in error, error
    assert sql("select 1")[0] == "1"  # the server lives


@needs_server
def answers_of_the_command_line():
    name, text = given("distilbert-classify"), "a good film"
    expected = rows("run", model(name), text)[0]["labels"]
    assert sql(f"select retort_classify('{name}', '{text}')")[0] == expected[0]["label"]
    close(float(sql(f"select retort_score('{name}', '{text}')")[0]), expected[0]["score"], 1e-6)
    scores = json.loads(sql(f"select retort_scores('{name}', '{text}')")[0])
    assert list(scores.items()) == [(label["label"], label["score"]) for label in expected]
    embeds = given("bert-embed")
    vector = json.loads(sql(f"select array_to_json(retort_embed('{embeds}', '{text}'))")[0])
    whole = rows("run", model(embeds), text)[0]["embedding"]
    assert len(vector) == len(whole) and all(abs(a - b) <= 1e-6 for a, b in zip(vector, whole))


@needs_server
def columns_of_a_table():
    name = given("distilbert-classify")
    sql("create table reviews(id serial, body text)", "insert into reviews(body) select case when i % 3 = 0 then null else 'film ' || i end from generate_series(1, 300) i")
    assert sql(f"select count(*), count(retort_classify('{name}', body)) from reviews")[0] == "300|200"
    both = [sql(f"set max_parallel_workers_per_gather = {n}", "set parallel_setup_cost = 0", "set parallel_tuple_cost = 0", "set min_parallel_table_scan_size = 0", f"select id, retort_scores('{name}', body) from reviews order by id")[0] for n in (0, 2)]
    assert both[0] == both[1] and both[0].count("\n") == 299


@needs_server
def text_of_the_database_is_converted():
    name = given("distilbert-classify")
    sql("create database latin encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0")
    sql("create extension retort", database="latin")
    assert sql(f"select retort_scores('{name}', chr(233))", database="latin")[0] == sql(f"select retort_scores('{name}', 'é')")[0]


@needs_server
def errors_are_in_the_encoding_of_the_database():
    for database, missing in (("latin", "\\u6f22"), ("postgres", "漢")):
        error = sql("select retort_score('other', 'x')", code=1, database=database)[1]
        assert f"there is no other.retort in {HOME}/models:{HOME}/é{missing}\n" in error, error
        error = sql("select retort_score(chr(233) || E'\\n', 'x')", code=1, database=database)[1]
        assert "ERROR:  é\\n: this is no name of a model" in error, error


@needs_server
def errors_are_errors_of_sql():
    name = given("distilbert-classify")
    whole = (HOME / "models" / f"{name}.retort").read_bytes()
    for broken, data in (("half", whole[: len(whole) // 2]), ("noise", bytes(range(256)) * 20), ("empty", b"")):
        (HOME / "models" / f"{broken}.retort").write_bytes(data)
        refused(f"{broken}.retort", f"select retort_classify('{broken}', 'x')")
    refused("does not embed", f"select retort_embed('{name}', 'x')")
    refused("there is no other.retort in", "select retort_classify('other', 'x')")
    (HOME / "models/hidden.retort").write_bytes(whole)
    os.chmod(HOME / "models/hidden.retort", 0)
    refused("hidden.retort: cannot open: Permission denied", "select retort_classify('hidden', 'x')")
    (HOME / "models/hidden.retort").unlink()
    refused("not finite", f"select retort_classify('{given('nan', with_infinite_word(name, 'hello'))}', 'hello')")
    # After an error, the same session goes on with the same model.
    out = sql(f"do $$ begin perform retort_classify('nan', 'hello'); exception when others then null; end $$", f"select retort_classify('nan', 'film')")[0]
    assert out == sql(f"select retort_classify('{name}', 'film')")[0]


@needs_server
def long_names_end_with_a_whole_character():
    for character, start in (("é", "a"), ("漢", ""), ("漢", "a"), ("漢", "ab")):
        name = f"'{start}' || repeat(U&'\\{ord(character):04x}', 300)"
        for encoding in ("utf-8", "latin1") if character == "é" else ("utf-8",):
            error = sql(f"select retort_classify({name}, 'x')", code=1, encoding=encoding)[1]
            assert "this is no name of a model" in error and error.count(character) > 60, error
    for start in ("", "a", "ab"):
        refused("there is no other.retort in ", f"set retort.models = '/{start}{'漢' * 200}'; select retort_classify('other', 'x')")
    refused("there is no " + "a" * 100 + ".retort in ", f"select retort_classify('{'a' * 1000}', 'x')")


@needs_server
def users_choose_no_files():
    sql("create role guest login")
    for path in ("/etc/passwd", "../data/PG_VERSION", "."):
        refused("no name of a model", f"select retort_classify('{path}', 'x')", user="guest")
    refused("the name of the model is empty", "select retort_classify('', 'x')", user="guest")
    (HOME / "elsewhere").mkdir()
    shutil.copy(model("distilbert-classify"), HOME / "elsewhere/hidden.retort")
    os.chmod(HOME / "elsewhere/hidden.retort", 0o644)
    assert sql(f"set retort.models = '{HOME}/elsewhere'", "select retort_classify('hidden', 'x')")[0] != ""  # of the superuser
    for first in ("select 1", f"select retort_classify('{given('distilbert-classify')}', 'x')"):  # before and after the library is loaded
        error = sql(first, f"set retort.models = '{HOME}/elsewhere'", "select retort_classify('hidden', 'x')", code=1, user="guest")[1]
        assert "permission denied to set parameter" in error or "there is no hidden.retort in " in error, error
    assert sql(f"select retort_classify('{given('distilbert-classify')}', 'x')", user="guest")[0] != ""


@needs_server
def statements_are_cancelled():
    name = given("distilbert-classify")
    start = time.monotonic()
    error = sql("set statement_timeout = 500", f"select count(retort_classify('{name}', 'film ' || i)) from generate_series(1, 1000000000) i", code=1)[1]
    assert "canceling statement due to statement timeout" in error and time.monotonic() - start < 60, error


class Session:
    """A connection that stays open."""

    def __init__(self):
        command = ["psql", "-h", str(HOME), "-U", "postgres", "-d", "postgres", "-XAtq"]
        self.psql = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.backend = int(self.ask("select pg_backend_pid()"))

    def begin(self, statement):
        self.psql.stdin.write(f"{statement};\n")
        self.psql.stdin.flush()

    def answer(self):
        return self.psql.stdout.readline().rstrip("\n")

    def ask(self, statement):
        self.begin(statement)
        return self.answer()

    def megabytes(self, name):
        """Of the backend: Pss, in which what n processes share counts an n-th, or Rss."""
        with open(f"/proc/{self.backend}/smaps_rollup") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024

    def close(self):
        self.psql.communicate(timeout=60)


@needs_server
def ten_connections_share_the_weights():
    whole = HERE / "whole.retort"
    retort("dequantize", ROOT / "models/sentiment.retort", "-o", whole)
    name, small = given("whole", whole), given("distilbert-classify")
    matrices = 6 * 12 * 384 * 384 * 4 / 2**20  # 40 MB: the rows of the word table that no text has are not read
    sessions = [Session() for _ in range(10)]
    for session in sessions:
        session.ask(f"select retort_classify('{small}', 'film')")
    before = [sum(session.megabytes(kind) for session in sessions) for kind in ("Pss", "Rss")]
    for session in sessions:
        session.begin(f"select count(*), sum(retort_score('{name}', 'film ' || i)::float8) from generate_series(1, 40) i")
    assert len({session.answer() for session in sessions}) == 1  # all at once, the same bits
    shared, resident = (sum(session.megabytes(kind) for session in sessions) - first for kind, first in zip(("Pss", "Rss"), before))
    assert resident > 10 * matrices and matrices < shared < 1.1 * matrices + 10 * 3, (shared, resident)

    # One is cancelled, the others go on.
    long, rest = sessions[0], sessions[1:]
    long.begin(f"select count(retort_classify('{name}', 'film ' || i)) from generate_series(1, 1000000000) i")
    for session in rest:
        session.begin(f"select count(retort_classify('{name}', 'film ' || i)) from generate_series(1, 40) i")
    wait_until(lambda: sql(f"select state from pg_stat_activity where pid = {long.backend}")[0] == "active", "it runs")
    start = time.monotonic()
    assert sql(f"select pg_cancel_backend({long.backend})")[0] == "t"
    assert "canceling statement due to user request" in long.answer() and time.monotonic() - start < 60
    assert all(session.answer() == "40" for session in rest)
    assert long.ask(f"select retort_classify('{name}', 'an utterly charming film')") == "POSITIVE"
    most = max(session.megabytes("Pss") for session in sessions)
    for _ in range(20):  # memory does not grow with the rows
        long.ask(f"select count(retort_classify('{name}', 'film ' || i)) from generate_series(1, 20) i")
    assert max(session.megabytes("Pss") for session in sessions) < most + 2
    for session in sessions:
        session.close()


main()
