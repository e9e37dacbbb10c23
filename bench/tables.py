#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Answers a million rows in the engines where data lives, beside `retort run --input`.

usage: tables.py SHARED WORK --model M.retort --build BUILD [--rows N] [--engines NAME,…] [--again] [--texts MODEL.retort]
                 [--text-rows N] [--reps N] [--write docs/tables.md]

SHARED has data/sst2/train.tsv and data/banking77/train.tsv: their sentences, shuffled, again and again until there are N (default: a million).
Each engine runs its program of examples/python (a cluster of its own for PostgreSQL, two processes of sqlite3), two threads each. Its
answers have to be those of `run`, bit for bit, and its speed is a ratio to that of `run` on 50,000 rows before and after it. WORK keeps the
rows and what was measured, so a run that ended goes on; --again measures anew. CPU seconds are those of all processes of an engine; its start is
what 1,000 rows take, and the rows after them have the rest. Memory is the highest sum of the proportional set sizes. --texts: also `run --input`
with another model beside `bench --data`, which has tokenized its texts before, on the first --text-rows of the rows (default: 30,000).

Needs a Python with numpy, pyarrow, and what --engines names: polars, duckdb, pandas, datasets, ray, pyspark.
"""
import argparse
import contextlib
import csv
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import time
import uuid

from blocks import write_block
from busy import Watch
from peers import cpu

ROOT = pathlib.Path(__file__).resolve().parent.parent
TICK = os.sysconf("SC_CLK_TCK")
SEED, FEW = 7, 1000
BUSY = 0.2  # share of the CPUs that others use, above which a rate says more about them
POSTGRES = pathlib.Path("/usr/lib/postgresql/15/bin")


# ---- Rows ----


def sentences(path):
    with open(path, encoding="utf-8") as file:
        return [row["sentence"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def make_rows(args):
    """The same rows as JSON lines, CSV and Parquet."""
    import pyarrow
    import pyarrow.parquet
    if (args.work / "rows.parquet").exists():
        return
    known, texts = [text for name in ("sst2", "banking77") for text in sentences(args.shared / f"data/{name}/train.tsv")], []
    draw = random.Random(SEED)
    while len(texts) < args.rows:
        draw.shuffle(known)
        texts += known
    rows = list(enumerate(texts[:args.rows]))
    with open(args.work / "rows.jsonl", "w", encoding="utf-8") as lines, open(args.work / "rows.csv", "w", encoding="utf-8", newline="") as table:
        table_rows = csv.writer(table)
        for i, text in rows:
            lines.write(json.dumps({"id": i, "text": text}) + "\n")
            table_rows.writerow([i, text])
    columns = pyarrow.table({"id": pyarrow.array(range(args.rows), pyarrow.int64()), "text": texts[:args.rows]})
    pyarrow.parquet.write_table(columns, args.work / "rows.parquet", row_group_size=50000)


# ---- Processes ----


class Processes:
    """All processes that inherit a mark in their environment, or have such a parent (PostgreSQL writes its titles over its environment):
    their CPU time, and their memory at its highest."""

    def __init__(self):
        self.mark = f"RETORT_BENCH={uuid.uuid4()}"
        self.environment = dict([self.mark.split("=")])
        self.known, self.ticks, self.peak, self.pids = {}, {}, 0, set()

    def is_ours(self, pid, parent):
        if pid in self.pids or parent in self.pids:
            return True
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return self.mark.encode() in file.read()
        except OSError:
            return False

    def sample(self):
        total = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
                who = pid, fields[19]  # numbers of processes come again: with its start
                if not self.known.setdefault(who, False):
                    self.known[who] = self.is_ours(pid, fields[1])  # asked again until it is: between fork and exec it has no mark yet
                if not self.known[who]:
                    continue
                self.pids.add(pid)
                self.ticks[who] = int(fields[11]) + int(fields[12])
                with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                    total += next((int(line.split()[1]) for line in file if line.startswith("Pss:")), 0)
            except (OSError, IndexError):
                continue
        self.peak = max(self.peak, total)

    def cpu_seconds(self):
        return sum(self.ticks.values()) / TICK


def watched(commands, environment, log, processes=None):
    """Runs commands side by side: seconds, CPU seconds, and MB."""
    processes = processes or Processes()
    processes.sample()
    before, start = processes.cpu_seconds(), time.monotonic()
    watch, own = Watch.read(), sum(os.times()[:2])
    with open(log, "wb") as file:
        children = []
        for command, output in commands:
            with contextlib.ExitStack() as stack:
                sink = stack.enter_context(open(output, "wb")) if output else file
                children.append(subprocess.Popen(list(map(str, command)), stdout=sink, stderr=file,
                                                 env={**os.environ, **environment, **processes.environment}))
        while any(child.poll() is None for child in children):
            processes.sample()
            time.sleep(0.1)
        seconds = time.monotonic() - start
    total, used = (now - then for now, then in zip(Watch.read()[:2], watch))
    if any(child.returncode for child in children):
        raise SystemExit(f"{commands}: failed: {log}\n{pathlib.Path(log).read_text(errors='replace')[-3000:]}")
    cpu_seconds = processes.cpu_seconds() - before
    others = max(used - cpu_seconds - (sum(os.times()[:2]) - own), 0) / total  # a server's workers are nobody's children here
    return {"seconds": seconds, "cpu": cpu_seconds, "mb": processes.peak / 1e3, "others": others}


def sibling(args, **more):
    """The environment of a Python that uses the package of the build."""
    return {"PYTHONPATH": str(args.build / "python"), "RETORT_CPU_LIBRARY": str(args.build / "libretort.so"),
            "RETORT_CPU_COMMAND": str(args.build / "app/retort"), "OMP_NUM_THREADS": str(args.threads), "HF_HOME": str(args.work / "hub"),
            "HF_DATASETS_CACHE": str(args.work / "hub"), "SPARK_LOCAL_IP": "127.0.0.1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", **more}


def cleared(path):
    """The path, without what an earlier run left there."""
    shutil.rmtree(path, ignore_errors=True)
    for left in (path, path.with_name(path.name + ".part"), path.with_name(path.name + ".state")):
        left.unlink(missing_ok=True)
    return path


# ---- Engines: each gives what was measured, and leaves answers ----


def with_run(args, _name, out="run.jsonl", *more):
    out = cleared(args.work / out)
    command = [args.build / "app/retort", "run", args.model, "--input", args.work / "rows.jsonl", "--scores", "-o", out, "--threads", args.threads]
    return watched([([*command, *more], None)], {}, args.work / "run.log")


def start_of(args, name):
    """CPU seconds of an engine that answers next to nothing."""
    few = argparse.Namespace(**{**vars(args), "rows": FEW, "work": args.work / "few"})
    few.work.mkdir(exist_ok=True)
    make_rows(few)
    return ENGINES[name][0](few, name)["cpu"]


def run_between(args):
    """Rows of `run` per CPU second now."""
    rows = min(args.rows, 50000)
    return rows / with_run(args, None, "between.jsonl", "--rows", rows)["cpu"]


def with_example(args, name):
    out = cleared(args.work / f"{name}.parquet")
    more = {"OMP_NUM_THREADS": "1"} if name == "spark" else {}  # spark.task.cpus
    shutil.rmtree(args.work / "hub", ignore_errors=True)  # what datasets has computed before
    command = [sys.executable, ROOT / f"examples/python/with_{name}.py", args.model, args.work / "rows.parquet", out]
    return watched([(command, None)], sibling(args, **more), args.work / f"{name}.log")


def with_package(args, name):
    out = cleared(args.work / f"{name}.parquet")
    command = [sys.executable, "-m", "retort_cpu", "run", args.model, "--input", args.work / "rows.parquet", "-o", out, "--threads", args.threads]
    return watched([(command, None)], sibling(args), args.work / f"{name}.log")


def with_sqlite(args, name):
    """A process for each half of the rows: SQLite runs a statement in one thread."""
    database = args.work / "rows.db"
    if not database.exists():
        subprocess.run(["sqlite3", database, "create table rows(id integer primary key, text text)", ".mode csv", f".import {args.work}/rows.csv rows"], check=True)
    commands = []
    for half in range(args.threads):
        first, last = args.rows * half // args.threads, args.rows * (half + 1) // args.threads
        select = f"select id, retort_scores('{args.model}', text) from rows where id >= {first} and id < {last}"
        commands.append((["sqlite3", "-readonly", "-csv", database, f".load {args.build}/sql/retort_sqlite", select], args.work / f"{name}-{half}.csv"))
    return watched(commands, {}, args.work / f"{name}.log")


@contextlib.contextmanager
def cluster(args, processes):
    """A server of its own, by the user postgres where this is root; on a socket in its folder."""
    home = pathlib.Path("/tmp") / f"retort-tables-{os.getpid()}"
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    home.mkdir(mode=0o755)
    server = None
    try:
        shutil.copy(args.build / "sql/retort.so", home / "retort.so")
        shutil.copy(args.model, home / "model.retort")
        if user:
            shutil.chown(home, "postgres", "postgres")
        subprocess.run([*user, POSTGRES / "initdb", "-D", home / "data", "-A", "trust", "-U", "postgres", "--no-sync"], check=True, stdout=subprocess.DEVNULL, cwd=home)
        settings = ["listen_addresses=", "fsync=off", f"retort.models={home}", "shared_buffers=256MB", "max_parallel_workers_per_gather=1"]
        server = subprocess.Popen([*user, POSTGRES / "postgres", "-D", home / "data", "-k", home, *(part for setting in settings for part in ("-c", setting))],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home, env={**os.environ, **processes.environment})
        processes.pids.add(str(server.pid))
        while not (home / ".s.PGSQL.5432").exists():
            time.sleep(0.1)
        time.sleep(0.5)
        yield home
    finally:
        if server is not None:
            server.send_signal(2)
            server.wait(60)
        shutil.rmtree(home, ignore_errors=True)


def with_postgres(args, name):
    """The leader and one parallel worker. Rows are loaded before; `create table as` is measured, with psql."""
    processes = Processes()
    with cluster(args, processes) as home:
        def psql(*statements):
            return ["psql", "-h", home, "-U", "postgres", "-d", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1", *(part for one in statements for part in ("-c", one))]

        functions = (ROOT / "sql/retort--0.1.sql").read_text(encoding="utf-8").replace("MODULE_PATHNAME", str(home / "retort.so"))
        setup = re.sub(r"(?m)^(--|\\).*$", "", functions)
        subprocess.run(list(map(str, psql(setup, "create unlogged table rows(id bigint, text text)", f"\\copy rows from {args.work}/rows.csv csv", "analyze rows"))), check=True)
        few = [f"set {setting} = 0" for setting in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size")]
        select = "create unlogged table answered as select id, retort_scores('model', text) as scores from rows"
        result = watched([(psql(*few, select), None)], {}, args.work / f"{name}.log", processes)
        with open(args.work / f"{name}.csv", "wb") as out:
            subprocess.run(list(map(str, psql("copy answered to stdout csv"))), check=True, stdout=out)
    return result


ENGINES = {
    "run": (with_run, "`retort run --input`, JSON lines"),
    "package": (with_package, "`retort run --input` of the Python package, Parquet"),
    "polars": (with_example, "Polars, `map_batches`"),
    "duckdb": (with_example, "DuckDB, an Arrow function"),
    "pandas": (with_example, "pandas"),
    "datasets": (with_example, "Hugging Face datasets, `map`"),
    "ray": (with_example, "Ray Data, two actors"),
    "spark": (with_example, "Spark, `mapInArrow`, `local[2]`"),
    "postgres": (with_postgres, "PostgreSQL, a leader and a worker"),
    "sqlite": (with_sqlite, "SQLite, two processes"),
}


# ---- Answers ----


def answers_of(args, name):
    """(labels, scores) in the order of the ids."""
    import numpy
    import pyarrow.parquet
    labels, scores = [None] * args.rows, numpy.full(args.rows, numpy.nan, numpy.float32)
    if name == "run":
        with open(args.work / "run.jsonl", encoding="utf-8") as file:
            rows = ((row["id"], row["label"], row["scores"][row["label"]]) for row in map(json.loads, file))
            for i, label, score in rows:
                labels[i], scores[i] = label, score
    elif name in ("postgres", "sqlite"):
        for path in [args.work / "postgres.csv"] if name == "postgres" else [args.work / f"sqlite-{half}.csv" for half in range(args.threads)]:
            with open(path, encoding="utf-8", newline="") as file:
                for i, found in csv.reader(file):
                    best = next(iter(json.loads(found).items()))
                    labels[int(i)], scores[int(i)] = best
    else:
        table = pyarrow.parquet.read_table(args.work / f"{name}.parquet", columns=["id", "label", "score"])
        order = table["id"].to_numpy()
        scores[order] = table["score"].to_numpy()
        for i, label in zip(order.tolist(), table["label"].cast("string").to_pylist()):
            labels[i] = label
    return labels, scores


def compare(args, name, wanted):
    import numpy
    labels, scores = answers_of(args, name)
    same = numpy.array_equal(scores.view(numpy.uint32), wanted[1].view(numpy.uint32)) and labels == wanted[0]
    if not same or None in labels:
        differ = next(i for i in range(args.rows) if labels[i] != wanted[0][i] or scores[i] != wanted[1][i])
        raise SystemExit(f"{name}: row {differ}: {labels[differ]} {scores[differ]}, and run has {wanted[0][differ]} {wanted[1][differ]}")


# ---- run beside bench ----


def beside_bench(args):
    """What tokenizing, reading and writing cost: `run --input` beside `bench --data`, in turns."""
    table, retort = args.work / "texts.tsv", args.build / "app/retort"
    with open(args.work / "rows.jsonl", encoding="utf-8") as rows, open(table, "w", encoding="utf-8") as file:
        file.write("sentence\n")
        for line in itertools.islice(rows, args.text_rows):
            file.write(json.loads(line)["text"] + "\n")
    run = [retort, "run", args.texts, "--input", table, "-o", args.work / "texts-out.tsv", "--threads", args.threads]
    bench = [retort, "bench", args.texts, "--data", table, "--batch", "32", "--seconds", "0", "--threads", args.threads, "--json"]
    turns = [[watched([(command, None)], {}, args.work / "texts.log") for command in (run, bench)] for _ in range(args.reps)]
    by_cpu, by_clock = (statistics.median(second[key] / first[key] for first, second in turns) for key in ("cpu", "seconds"))
    return {"texts": args.text_rows, "model": os.path.basename(args.texts), "by_cpu": by_cpu, "by_clock": by_clock, "reps": args.reps,
            "rate": args.text_rows / statistics.median(first["seconds"] for first, _ in turns), "mb": max(first["mb"] for first, _ in turns),
            "others": max(part["others"] for turn in turns for part in turn)}


# ---- The table ----


def page(args, state):
    others = [row["others"] for row in state["engines"].values()]
    busy = max(others) > BUSY
    lines = [f"Command: `bench/tables.py SHARED WORK --model {os.path.basename(args.model)} --build build --rows {args.rows}`", "",
             f"{args.rows:,} rows: the {state['distinct']:,} sentences of SST-2's and BANKING77's training sets, shuffled, and again until there are as many. "
             f"{args.threads} threads each on {cpu()}, the model `{os.path.basename(args.model)}` of {os.path.getsize(args.model) / 1e6:.1f} MB. All answers "
             "are the same, bit for bit. CPU time is that of all processes of an engine; its start is what 1,000 rows take. Memory is the highest "
             "sum of their proportional set sizes.", "",
             f"| engine | start, CPU seconds | then rows per CPU second | to `run` | rows/s with the start{', busy machine' if busy else ''} | memory, MB |",
             "|---|---|---|---|---|---|"]
    for name, (_, title) in ENGINES.items():
        if name in state["engines"]:
            row = state["engines"][name]
            then = (args.rows - FEW) / (row["cpu"] - row["start"])
            to_run = row["to_run"] * then / (args.rows / row["cpu"])
            lines.append(f"| {title} | {row['start']:.1f} | {then:,.0f} | {to_run:.2f} | {args.rows / row['seconds']:,.0f} | {row['mb']:,.0f} |")
    lines += ["", f"Others used {100 * min(others):.0f} to {100 * max(others):.0f} % of the CPUs meanwhile"
                  + (": CPU seconds compare the engines, and the clock says more about the others." if busy else ".")]
    if "beside" in state:
        b = state["beside"]
        clock = f"; {b['by_clock']:.2f} times by the clock, {b['rate']:,.0f} rows/s in {b['mb']:.0f} MB" if b["others"] <= BUSY else ""
        lines += ["", f"On {b['texts']:,} of these sentences (`{b['model']}`), `run --input` answers {b['by_cpu']:.2f} times as many rows per CPU second as `bench --data`, "
                      f"whose texts were tokenized before and whose answers are not written{clock} (median of {b['reps']})."]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=pathlib.Path)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--model", required=True, type=os.path.abspath)
    parser.add_argument("--build", default=ROOT / "build", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--rows", type=int, default=1000000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--texts", type=os.path.abspath)
    parser.add_argument("--text-rows", type=int, default=30000)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--write")
    args = parser.parse_args()
    args.work = args.work.resolve() / f"{args.rows}-{os.path.basename(args.model)}"
    args.work.mkdir(parents=True, exist_ok=True)
    make_rows(args)
    kept = args.work / "measured.json"
    state = json.loads(kept.read_text()) if kept.exists() and not args.again else {"engines": {}}
    state["distinct"] = len({text for name in ("sst2", "banking77") for text in sentences(args.shared / f"data/{name}/train.tsv")})
    if args.texts and "beside" not in state:
        state["beside"] = beside_bench(args)
        kept.write_text(json.dumps(state, indent=1))
    wanted = between = None
    for name in ["run", *(name for name in args.engines.split(",") if name != "run")]:
        if name not in state["engines"]:
            before = between or run_between(args)
            row = state["engines"][name] = ENGINES[name][0](args, name)
            between = run_between(args)
            row["to_run"] = args.rows / row["cpu"] / ((before + between) / 2)
        if "start" not in state["engines"][name]:
            state["engines"][name]["start"] = start_of(args, name)
        if name == "run":
            wanted = answers_of(args, "run")
        else:
            compare(args, name, wanted)
        kept.write_text(json.dumps(state, indent=1))
        row = state["engines"][name]
        print(f"{name}: {args.rows / row['seconds']:.0f} rows/s, {args.rows / row['cpu']:.0f} rows per CPU second, {row['to_run']:.2f} of run, {row['mb']:.0f} MB", flush=True)
    print(page(args, state))
    if args.write:
        write_block(args.write, "tables", page(args, state))


if __name__ == "__main__":
    main()
