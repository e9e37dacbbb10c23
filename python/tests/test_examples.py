# SPDX-License-Identifier: Apache-2.0
"""examples/python in the engines where data lives: the answers are those of `retort run --input`, bit for bit. Ray and Spark are large, so
tools/clients does not install them; an interpreter that has them runs these tests, too."""
import importlib.util
import json
import os
import subprocess
import sys

from harness import HERE, ROOT, Skip, file, main, retort, test

import numpy

WORDS = "good bad film the a hello world charming bleak café".split()
TEXTS = [" ".join(WORDS[(i * 7 + j * j) % len(WORDS)] for j in range(i % 23)) for i in range(3000)]  # with empty ones


def has(*packages):
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise Skip(f"no {' and no '.join(missing)} on this machine")


def expected():
    """By id: the label, and the scores of all labels."""
    table, out = HERE / "texts.jsonl", HERE / "answered.jsonl"
    if not out.exists():
        table.write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(TEXTS)))
        retort("run", file("distilbert-classify"), "--input", table, "--scores", "-o", out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == len(TEXTS)
    return {row["id"]: (row["label"], {label: numpy.float32(score) for label, score in row["scores"].items()}) for row in rows}


def answered(name, *options):
    """The rows that an example writes, by id."""
    import pyarrow
    import pyarrow.parquet
    source, out = HERE / "texts.parquet", HERE / f"{name}.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"id": range(len(TEXTS)), "text": TEXTS}), source, row_group_size=1000)
    environment = {**os.environ, "HF_HOME": str(HERE), "SPARK_LOCAL_IP": "127.0.0.1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    command = [sys.executable, ROOT / f"examples/python/{name}.py", file("distilbert-classify"), source, out]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment, cwd=HERE, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = pyarrow.parquet.read_table(out).to_pylist()
    assert len(rows) == len(TEXTS) and all(row["text"] == TEXTS[row["id"]] for row in rows)
    return {row["id"]: row for row in rows}


def check(name):
    rows = answered(name)
    for i, (label, scores) in expected().items():
        assert (rows[i]["label"], numpy.float32(rows[i]["score"])) == (label, scores[label]), (rows[i], scores)


@test
def without_arguments_they_say_what_they_need():
    for path in sorted((ROOT / "examples/python").glob("*.py")):
        packages = {"with_duckdb": "duckdb", "with_pandas": "pandas", "with_polars": "polars", "with_datasets": "datasets", "with_ray": "ray"}
        if all(map(importlib.util.find_spec, ("pyarrow", packages.get(path.stem, "pyspark")))):
            done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=100)
            assert done.returncode == 2 and done.stderr.startswith(f"usage: {path.name} MODEL IN.parquet OUT") and done.stderr.count("\n") == 1, done


@test
def a_frame_may_have_an_index_of_its_own():
    has("pyarrow", "pandas")
    import pandas
    frame = pandas.DataFrame({"text": TEXTS}).iloc[::-7].query("text != ''")
    source, out = HERE / "index.parquet", HERE / "index-out.parquet"
    frame.to_parquet(source)
    subprocess.run([sys.executable, ROOT / "examples/python/with_pandas.py", file("distilbert-classify"), source, out], check=True, timeout=100)
    found, known = pandas.read_parquet(out), expected()
    assert len(found) == len(frame) and found.index.equals(frame.index)
    assert all(row.label == known[i][0] for i, row in found.iterrows())


@test
def polars():
    has("pyarrow", "polars")
    check("with_polars")


@test
def duckdb():
    has("pyarrow", "duckdb")
    check("with_duckdb")


@test
def pandas():
    has("pyarrow", "pandas")
    check("with_pandas")


@test
def datasets():
    has("pyarrow", "datasets")
    check("with_datasets")


@test
def ray():
    has("pyarrow", "ray")
    check("with_ray")


@test
def spark():
    has("pyarrow", "pyspark")
    check("with_spark")


@test
def spark_functions():
    has("pyarrow", "pyspark", "pandas")
    rows = answered("with_spark_udf")
    labels = [label["label"] for label in sorted(retort("run", file("distilbert-classify"), "good")[0]["labels"], key=lambda label: label["label"])]
    for i, (_, scores) in expected().items():
        assert numpy.array_equal(numpy.float32(rows[i]["scores"]), [scores[label] for label in labels]), (rows[i], scores)


THREADS = """
import os, sys
import pyarrow
from pyspark.sql import SparkSession

def threads(batches):
    from retort_cpu._library import threads_here
    for batch in batches:
        yield pyarrow.record_batch([pyarrow.array([threads_here()] * len(batch), pyarrow.int64())], ["threads"])

os.environ["PYSPARK_PYTHON"] = sys.executable
spark = SparkSession.builder.master("local[2]").config("spark.task.cpus", sys.argv[1]).getOrCreate()
print("threads", spark.range(1).mapInArrow(threads, "threads long").collect()[0].threads)
"""


@test
def spark_says_how_many_threads():
    has("pyarrow", "pyspark")
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    for cpus in ("1", "2"):
        done = subprocess.run([sys.executable, "-c", THREADS, cpus], capture_output=True, text=True, timeout=500, cwd=HERE,
                              env={**environment, "SPARK_LOCAL_IP": "127.0.0.1"})
        assert f"threads {min(int(cpus), len(os.sched_getaffinity(0)))}\n" in done.stdout, (done.stdout, done.stderr[-2000:])


main()
