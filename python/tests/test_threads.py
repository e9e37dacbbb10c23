# SPDX-License-Identifier: Apache-2.0
"""Threads, forks, ends of the interpreter, and memory over many models."""
import os
import subprocess
import sys
import threading

from harness import HERE, ROOT, Skip, checkpoint, file, main, retort, test

import numpy

from retort_cpu import Model, _library

TEXTS = [f"good film {i} the plot" for i in range(50)]


def resident():
    """Kilobytes of this process."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


@test
def ten_thousand_models():
    path = file("distilbert-classify")

    def cycle(n):
        for _ in range(n):
            with Model(path, threads=1) as model:
                model.scores("good")

    cycle(500)
    before, files = resident(), len(os.listdir("/proc/self/fd"))
    cycle(10000)
    assert resident() - before < 4096, f"{resident() - before} KB more"
    assert len(os.listdir("/proc/self/fd")) <= files and threading.active_count() == 1


@test
def ten_thousand_columns():
    try:
        import pyarrow
    except ImportError as error:
        raise Skip(error) from None
    model, column = Model(file("distilbert-classify"), threads=1), pyarrow.array(["good", None, "bad"])

    def cycle(n):
        for _ in range(n):
            for chunk in model.predict_arrow(column):
                pyarrow.array(chunk)
            next(model.predict_arrow(pyarrow.chunked_array([column, column])))  # not taken, and not read to the end

    cycle(500)
    before = resident()
    cycle(10000)
    assert resident() - before < 4096, f"{resident() - before} KB more"


@test
def threads_share_a_model():
    model = Model(file("bert-classify"), threads=1)
    wanted, wrong = model.scores(TEXTS), []

    def work():
        for _ in range(40):
            if not numpy.array_equal(model.scores(TEXTS), wanted):
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(8)]
    [w.start() for w in workers]
    [w.join() for w in workers]
    assert not wrong
    assert sum(map(len, model._sessions.values())) <= 8


@test
def forks_under_load():
    for model in (Model(file("bert-classify"), threads=2), Model(checkpoint("bert-classify"), threads=2)):
        wanted, stop = model.scores(TEXTS), threading.Event()

        def work():
            while not stop.is_set():
                model.scores(TEXTS)

        workers = [threading.Thread(target=work) for _ in range(3)]
        [w.start() for w in workers]
        try:
            for _ in range(12):
                child = os.fork()
                if child == 0:  # its own threads, the same answers
                    os._exit(0 if numpy.array_equal(model.scores(TEXTS), wanted) else 3)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        finally:
            stop.set()
            [w.join() for w in workers]
        assert numpy.array_equal(model.scores(TEXTS), wanted)


WORKER = """
import sys
import retort_cpu
small, path, unpack = sys.argv[1:]
retort_cpu.Model(small, threads=1).scores("good film")
print("begun", flush=True)
sys.stdin.readline()
model = retort_cpu.Model(path, threads=1, unpack=unpack)
for i in range(4):
    model.scores(["an utterly charming film", "bleak"])
print("answered", flush=True)
sys.stdin.readline()
"""


def total(workers, name):
    """Megabytes of all workers."""
    found = 0
    for worker in workers:
        with open(f"/proc/{worker.pid}/smaps_rollup") as lines:
            found += next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    return found / 1024


def growth_of_eight(path, unpack):
    """What eight processes with a model take in addition, in MB: (proportional: what they share counts once, resident)."""
    command = [sys.executable, "-c", WORKER, file("distilbert-classify"), path, unpack]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    try:
        seen = []
        for word in ("begun\n", "answered\n"):
            assert all(worker.stdout.readline() == word for worker in workers)
            seen.append((total(workers, "Pss"), total(workers, "Rss")))
            if word == "begun\n":
                for worker in workers:
                    worker.stdin.write("\n")
                    worker.stdin.flush()
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    return [after - before for before, after in zip(*seen)]


@test
def eight_processes_share_the_weights():
    small, whole = str(ROOT / "models/sentiment.retort"), str(HERE / "whole.retort")
    retort("dequantize", small, "-o", whole)
    matrices = 6 * 12 * 384 * 384 * 4 / 2**20  # 40 MB; of the word table, the kernel maps what lies around the rows that are read
    size = os.path.getsize(whole) / 2**20
    own = 8 * 3  # a session, its word cache and its plan
    shared, resident = growth_of_eight(whole, "auto")
    assert resident > 8 * matrices and matrices < shared < size + own, (shared, resident)
    shared, resident = growth_of_eight(small, "never")
    assert shared < os.path.getsize(small) / 2**20 + own, (shared, resident)
    unpacked, _ = growth_of_eight(small, "always")  # a byte per weight, in each process
    assert unpacked > shared + 8 * matrices / 4 * 0.9, (unpacked, shared)


END = """
import sys, threading, time
import retort_cpu
model = retort_cpu.Model(sys.argv[1], threads=2)
texts = [f"good film {i}" for i in range(200000)]
for _ in range(2):
    threading.Thread(target=model.scores, args=(texts,), daemon=True).start()
time.sleep(0.3)
print("end", flush=True)
"""


@test
def the_interpreter_ends_in_a_call():
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", END, file("bert-classify")], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0 and done.stdout == "end\n" and done.stderr == "", (done.returncode, done.stderr)


@test
def threads_follow_the_environment():
    kept = os.environ.pop("OMP_NUM_THREADS", None)
    try:
        assert _library.threads_here(3) == 3 and _library.threads_here() == 0
        os.environ["OMP_NUM_THREADS"] = "1,2"
        assert _library.threads_here() == 1
        os.environ["OMP_NUM_THREADS"] = "4096"
        assert 1 <= _library.threads_here() <= len(os.sched_getaffinity(0))
        os.environ["OMP_NUM_THREADS"] = "many"
        assert _library.threads_here() == 0
    finally:
        os.environ.pop("OMP_NUM_THREADS", None)
        if kept is not None:
            os.environ["OMP_NUM_THREADS"] = kept


@test
def spark_says_how_many():
    class Context:
        @staticmethod
        def get():
            return Context()

        def cpus(self):
            return 1

    spark = type(sys)("pyspark")
    spark.TaskContext = Context
    kept = os.environ.pop("OMP_NUM_THREADS", None)
    sys.modules["pyspark"] = spark
    try:
        assert _library.threads_here() == 1
    finally:
        del sys.modules["pyspark"]
        if kept is not None:
            os.environ["OMP_NUM_THREADS"] = kept


main()
