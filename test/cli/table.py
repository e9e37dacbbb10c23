#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run --input: tables in, the same tables with answers out. Prints TAP.

    table.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import contextlib
import csv
import gzip
import io
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from harness import HERE, RETORT, Skip, checkpoint, fails, file, main, model, retort, rows, test, undisturbed, wait_until, with_infinite_word

CSV = b'id,text,note\r\n1,"good, ""film""\r\nyes",  x \r\n2,bad film,\r\n3,"",z\r\n'
WORDS = "good bad film the a hello world charming bleak".split()


def small():
    return model("distilbert-classify")


def run(name, data, *options, **more):
    """Standard output of run --input on a file."""
    return retort("run", small(), "--input", file(name, data), *options, **more)[0]


def best(*texts):
    """(label, score) of texts, as run prints them."""
    lines = retort("run", small(), *texts)[0].decode().splitlines()
    return [tuple(line.split("\t")) for line in lines]


def large(count, seed=1):
    draw = random.Random(seed)
    return [f"{i}\t{' '.join(draw.choices(WORDS, k=draw.randint(1, 30)))}\tn{i % 7}" for i in range(count)]


# ---- formats ----


@test
def csv_keeps_the_bytes_of_its_columns():
    out = run("plain.csv", CSV)
    (good, bad), empty = best('good, "film"\r\nyes'.replace("\r\n", " "), "bad film"), None
    lines = out.split(b"\r\n")
    assert lines[0] == b"id,text,note,label,score", lines[0]
    kept = CSV.split(b"\r\n")
    assert out.startswith(b'id,text,note,label,score\r\n1,"good, ""film""\r\nyes",  x ,')
    assert lines[3] == b"2,bad film,," + ",".join(bad).encode() and lines[4].startswith(b'3,"",z,'), lines
    assert len(lines) == len(kept) and lines[5] == b""
    table = list(csv.DictReader(io.StringIO(out.decode(), newline="")))
    assert [row["text"] for row in table] == ['good, "film"\r\nyes', "bad film", ""] and table[0]["note"] == "  x "
    assert all(0 <= float(row["score"]) <= 1 for row in table)


@test
def marks_and_last_lines():
    out = run("mark.csv", b"\xef\xbb\xbftext\nfilm")
    assert out == b"\xef\xbb\xbftext,label,score\nfilm," + ",".join(best("film")[0]).encode() + b"\n", out
    out = run("blank.tsv", b"text\tn\r\n\r\nfilm\t1\r\n\r\n")
    assert out == b"text\tn\tlabel\tscore\r\nfilm\t1\t" + "\t".join(best("film")[0]).encode() + b"\r\n", out


@test
def tsv_has_no_quotes():
    out = run("quotes.tsv", b'text\tn\n"film\t\\t\n').decode()
    assert out == 'text\tn\tlabel\tscore\n"film\t\\t\t' + "\t".join(best('"film')[0]) + "\n", out


@test
def json_lines_get_members():
    data = b'{ "text" : "film","n":[1, {"a":2}] } \n{"n": 1e400, "text": "caf\\u00e9"}\n'.replace(b"1e400", b"1.50")
    out = run("a.jsonl", data).splitlines()
    (film, cafe) = best("film", "café")
    assert out[0] == f'{{ "text" : "film","n":[1, {{"a":2}}] , "label": "{film[0]}", "score": {film[1]}}} '.encode(), out[0]
    assert out[1].startswith(b'{"n": 1.50, "text": "caf\\u00e9", "label": ') and json.loads(out[1])["score"] == float(cafe[1])


@test
def scores_of_all_labels():
    out = list(csv.DictReader(io.StringIO(run("s.csv", CSV, "--scores").decode(), newline="")))
    expected = rows("run", small(), "bad film")[0]["labels"]
    assert json.loads(out[1]["scores"]) == {label["label"]: label["score"] for label in expected}
    assert list(json.loads(out[1]["scores"]))[0] == out[1]["label"]
    top = json.loads(run("t.jsonl", b'{"text": "bad film"}\n', "--top", "1"))["scores"]
    assert top == {expected[0]["label"]: expected[0]["score"]}
    folder = HERE / "repeated"
    shutil.copytree(checkpoint("distilbert-classify"), folder)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"], config["label2id"] = {str(i): name for i, name in enumerate("aab")}, {"a": 0, "b": 2}
    (folder / "config.json").write_text(json.dumps(config))
    retort("import", folder, "-o", HERE / "repeated.retort")
    for text in ("bad film", "good", "the plot", "film"):
        found = rows("run", HERE / "repeated.retort", text)[0]["labels"]
        retort("run", HERE / "repeated.retort", "--input", file("r.csv", f"text\n{text}\n"), "--scores", "-o", HERE / "r-out.csv")
        row = next(csv.DictReader((HERE / "r-out.csv").read_text().splitlines()))
        assert json.loads(row["scores"])["a"] == max(label["score"] for label in found if label["label"] == "a"), row


@test
def other_tasks():
    def one(name, row, *options):
        return json.loads(retort("run", model(name), "--input", file("task.jsonl", json.dumps(row) + "\n"), *options)[0])

    tagged = one("bert-tag", {"text": "hello world film"}, "--aggregation", "none")["entities"]
    assert tagged == rows("run", model("bert-tag"), "hello world film", "--aggregation", "none")[0]["entities"] and tagged
    question = {"question": "who", "context": "the world of film"}
    answer = one("bert-answer", question, "--top", "2")
    expected = rows("run", model("bert-answer"), "who\tthe world of film", "--top", "2")[0]["answers"]
    assert answer["answer"] == expected[0]["answer"] and answer["answers"] == expected and answer["context"] == question["context"]
    error = fails(3, "--text-pair-column", "run", model("bert-answer"), "--input", file("q.jsonl", '{"text": "who"}\n'))
    assert "needs a context" in error


@test
def columns_are_chosen():
    data = "a\tbody\tlabel\nx\tfilm\t1\n"
    error = fails(3, "no column 'sentence'", "run", small(), "--input", file("c.tsv", data))
    assert "'a', 'body', 'label'" in error
    error = fails(3, "no column 'bodi'; there are 'a', 'body', 'label'", "run", small(), "--input", file("c.tsv", data), "--text-column", "bodi")
    error = fails(2, "a column 'label' already", "run", small(), "--input", file("c.tsv", data), "--text-column", "body")
    assert "--prefix" in error
    out = run("c.tsv", data, "--text-column", "body", "--prefix", "my_")
    assert out.startswith(b"a\tbody\tlabel\tmy_label\tmy_score\nx\tfilm\t1\t"), out
    fails(3, "no column 'b'; there are 'text'", "run", small(), "--input", file("c.jsonl", '{"text": "x"}\n'), "--text-column", "b")


@test
def formats_by_name_and_option():
    fails(2, "give --format", "run", small(), "--input", file("table.data", CSV))
    assert run("table.data", CSV, "--format", "csv") == run("table.csv", CSV)
    assert retort("run", small(), "--input", "-", "--format", "csv", stdin=CSV)[0] == run("table.csv", CSV)
    fails(2, "rows are written as they are read: as csv", "run", small(), "--input", file("table.csv", CSV), "-o", HERE / "out.tsv")
    for name, words in {"x.parquet": "pyarrow", "x.arrow": "pyarrow", "x.xlsx": "save it as CSV", "x.csv.xz": "xzcat"}.items():
        error = fails(3, "is neither read nor written", "run", small(), "--input", file(name, "x"))
        assert words in error, error
        fails(3, "is neither read nor written", "run", small(), "--input", file("table.csv", CSV), "-o", HERE / name)


@test
def headers_that_are_no_text():
    for data, words in (
        (b"text\0,n\na,1\n", ":1: byte 5 of the header is 0"),
        (b"text,caf\xe9\na,1\n", ":1: byte 9 of the header is not UTF-8"),
        (b"text,n\ra,1\rb,2\r", ":1: a carriage return outside quotes"),
        (b"\xff\xfe\0\0t\0\0\0", "this is UTF-32"),
        (b"id,text,text\n1,a,b\n", ":1: several columns are named 'text'"),
    ):
        fails(3, words, "run", small(), "--input", file("header.csv", data))
    fails(3, ":1: a carriage return in the header", "run", small(), "--input", file("header.tsv", b"text\tn\ra\t1\r"))
    fails(2, "--prefix: this is not UTF-8", "run", small(), "--input", file("plain.csv", b"text\na\n"), "--prefix", "caf\udce9")


@test
def compressed_tables():
    plain = run("table.csv", CSV)
    packed = gzip.compress(CSV[:40]) + gzip.compress(CSV[40:])
    assert run("table.csv.gz", packed) == plain
    assert run("hidden.csv", packed) == plain  # the bytes say it
    retort("run", small(), "--input", file("table.csv.gz", packed), "-o", HERE / "packed.csv.gz")
    assert gzip.decompress((HERE / "packed.csv.gz").read_bytes()) == plain
    fails(3, "the file is incomplete", "run", small(), "--input", file("cut.csv.gz", gzip.compress(CSV * 50)[:-9]), "-o", HERE / "cut.csv")
    fails(3, "the compressed data cannot be unpacked: ", "run", small(), "--input", file("broken.csv.gz", packed[:20] + b"xyz" + packed[23:]), "-o", HERE / "cut2.csv")
    if shutil.which("zstd") is None:
        raise Skip("no zstd to compare with")
    zst = subprocess.run(["zstd", "-c"], input=CSV, capture_output=True, check=True).stdout
    retort("run", small(), "--input", file("table.csv.zst", zst + zst[:0]), "-o", HERE / "packed.csv.zst")
    assert subprocess.run(["zstd", "-dc", HERE / "packed.csv.zst"], capture_output=True, check=True).stdout == plain


@test
def zstd_without_its_program():
    """What retort packs it unpacks, whatever else is on the machine."""
    retort("run", small(), "--input", file("table.csv", CSV), "-o", HERE / "own.csv.zst")
    again = retort("run", small(), "--input", HERE / "own.csv.zst", "--prefix", "x_")[0]
    assert again.startswith(b"id,text,note,label,score,x_label,x_score\r\n") and again.count(b"\r\n") == CSV.count(b"\r\n")


# ---- bad rows ----


@test
def odd_frames():
    if shutil.which("zstd") is None:
        raise Skip("no zstd")
    data = b"text\nfilm\n"
    packed = subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout
    skipped = b"\x5a\x2a\x4d\x18\x04\0\0\0abcd"  # a frame that is no data, as pzstd writes it
    assert run("skipped.csv.zst", skipped + packed + skipped + packed, "--rows", "1") == run("plain.csv", data)
    wide = subprocess.run(["zstd", "-qc", "--ultra", "--long=31"], input=b"text\n" + b"film " * 10, capture_output=True, check=True).stdout
    fails(3, "cannot be unpacked: Frame requires too much memory for decoding", "run", small(), "--input", file("wide.csv.zst", wide))


@test
def bad_rows_are_put_aside():
    data = b'id,text\n1,film\n2\n3,\xff\n4,"a"b\n5,good\n'
    out, error = retort("run", small(), "--input", file("bad.csv", data), "-o", HERE / "good.csv")
    assert [line.split(b",")[0] for line in (HERE / "good.csv").read_bytes().splitlines()] == [b"id", b"1", b"5"]
    bad = [json.loads(line) for line in (HERE / "good.csv.bad.jsonl").read_text().splitlines()]
    assert [row["line"] for row in bad] == [3, 4, 5] and bad[0] == {"line": 3, "problem": "expected 2 columns, found 1", "row": "2"}
    assert "3 of 5 rows are bad" in error and "good.csv.bad.jsonl" in error
    out, error = retort("run", small(), "--input", file("bad.csv", data), "--bad-rows", HERE / "other.jsonl")
    assert (HERE / "other.jsonl").read_text() == (HERE / "good.csv.bad.jsonl").read_text() and out == (HERE / "good.csv").read_bytes()
    error = retort("run", small(), "--input", file("bad.csv", data))[1]
    assert "line 3: expected 2 columns, found 1" in error and "--bad-rows" in error
    summary = rows("run", small(), "--input", file("bad.csv", data), "-o", HERE / "good.csv")[0]
    assert summary["rows"] == 2 and summary["bad_rows"] == 3 and summary["bad_rows_in"].endswith("good.csv.bad.jsonl")
    retort("run", small(), "--input", file("fine.csv", "text\nfilm\n"), "-o", HERE / "good.csv")
    assert not (HERE / "good.csv.bad.jsonl").exists()  # of an earlier run


@test
def bad_rows_to_devices_pipes_and_links():
    """What --bad-rows names stays what it is, with and without bad rows."""
    pipe, link, target, log = (HERE / name for name in ("pipe", "bad-link.jsonl", "bad-target.jsonl", "log"))
    os.mkfifo(pipe)
    link.symlink_to(target)
    for data, bad in ((b"text\nfilm\n1,2\n", 1), (b"text\nfilm\n", 0)):
        source = file("bad-to.csv", data)
        reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)
        retort("run", small(), "--input", source, "-o", HERE / "bad-to-out.csv", "--bad-rows", pipe)
        assert reader.communicate(timeout=60)[0].count(b"\n") == bad and pipe.is_fifo()
        retort("run", small(), "--input", source, "-o", HERE / "bad-to-out.csv", "--bad-rows", link)
        assert link.is_symlink() and (target.read_text().count("\n") if target.exists() else 0) == bad
        log.write_text("before\n")
        with open(log, "a") as to:
            subprocess.run([RETORT, "run", small(), "--input", source, "-o", HERE / "bad-to-out.csv", "--bad-rows", "/dev/stderr"], stderr=to, check=True)
        lines = log.read_text().splitlines()
        assert lines[0] == "before" and sum(line.startswith('{"line"') for line in lines) == bad


@test
def only_bad_rows():
    out, error = retort("run", small(), "--input", file("none.csv", b"id,text\n" + b"1\n" * 40000), code=3)
    assert out == b"id,text,label,score\n" and "40000 of 40000 rows are bad" in error and "no row has an answer" in error
    assert error.count("line ") == 10


@test
def answers_that_are_not_finite():
    path = with_infinite_word("distilbert-classify", "hello")
    texts = ["film", "hello film", "the film"] * 30
    out, error = retort("run", path, "--input", file("nan.csv", "text\n" + "\n".join(texts)), "-o", HERE / "finite.csv")
    assert (HERE / "finite.csv").read_text().count("\n") == 61 and "30 of 90 rows are bad" in error
    bad = [json.loads(line) for line in (HERE / "finite.csv.bad.jsonl").read_text().splitlines()]
    assert [row["line"] for row in bad] == list(range(3, 92, 3)) and "not finite" in bad[0]["problem"]


@test
def tables_without_rows():
    fails(3, "the file is empty", "run", small(), "--input", file("empty.csv", ""))
    fails(3, "no line is a JSON object", "run", small(), "--input", file("empty.jsonl", "\n\n"))
    assert run("header.csv", "id,text\r\n") == b"id,text,label,score\r\n"
    assert run("header.tsv", "id\ttext") == b"id\ttext\tlabel\tscore\n"
    out, error = retort("run", small(), "--input", file("open.csv", 'text\nfilm\n"never\nclosed\n'), code=3)
    assert out == b"text,label,score\nfilm," + ",".join(best("film")[0]).encode() + b"\n" and "open.csv:3: a quote is not closed" in error, (out, error)


# ---- files ----


@test
def outputs_that_are_refused():
    path = file("same.csv", CSV)
    fails(2, "would be written over", "run", small(), "--input", path, "-o", path)
    link = HERE / "link.csv"
    link.symlink_to(path)
    fails(2, "would be written over", "run", small(), "--input", path, "-o", link)
    fails(2, "would be written over", "run", small(), "--input", path, "-o", HERE / "o.csv", "--bad-rows", path)
    fails(2, "would be written over", "run", small(), "--input", path, "-o", HERE / "o.csv", "--bad-rows", HERE / "o.csv")
    for place in (HERE / "o.csv.part", f"{HERE}/../{HERE.name}/o.csv.state"):
        fails(2, "the run keeps its rows there", "run", small(), "--input", path, "-o", HERE / "o.csv", "--bad-rows", place)
    (HERE / "o.csv.part").write_bytes(CSV)
    fails(2, "the run keeps its rows there", "run", small(), "--input", HERE / "o.csv.part", "--format", "csv", "-o", HERE / "o.csv")
    assert (HERE / "o.csv.part").read_bytes() == CSV
    (HERE / "o.csv.part").unlink()
    assert pathlib.Path(path).read_bytes() == CSV
    fails(1, "this is a folder", "run", small(), "--input", path, "-o", HERE / "o.csv", "--bad-rows", HERE)
    fails(1, "cannot create", "run", small(), "--input", path, "-o", HERE / "nowhere/o.csv")
    fails(1, "File name too long: give a shorter one", "run", small(), "--input", path, "-o", HERE / ("o" * 244 + ".csv"))
    assert not list(HERE.glob("ooo*"))
    error = fails(1, "cannot write: No space left", "run", small(), "--input", path, "-o", "/dev/full")
    fails(2, "--resume needs a regular file", "run", small(), "--input", path, "-o", "/dev/null", "--resume")
    fails(2, "needs -o FILE", "run", small(), "--input", path, "--json")
    fails(2, "not both", "run", small(), "--input", path, "a text")
    fails(2, "--scores needs --input", "run", small(), "--scores", "x")
    fails(2, "--pairs has no effect with --input", "run", small(), "--input", path, "--pairs")
    fails(3, "cannot open", "run", small(), "--input", HERE / "nothing.csv")


@test
def bad_rows_on_stdout():
    path, out = file("dash.csv", b"text,n\na,1\nb\n"), HERE / "dash-out.csv"
    found = retort("run", small(), "--input", path, "-o", out, "--bad-rows", "-")[0]
    assert json.loads(found) == {"line": 3, "problem": "expected 2 columns, found 1", "row": "b"}, found
    fails(2, "--bad-rows -: the rows go to standard output", "run", small(), "--input", path, "--bad-rows", "-")
    fails(2, "--bad-rows -: the summary of --json goes", "run", small(), "--input", path, "-o", out, "--json", "--bad-rows", "-")


@test
def files_that_a_run_writes_are_no_inputs():
    data, out = b'{"text": "a"}\nbad\n', HERE / "kept.jsonl"
    for ending in (".part", ".state", ".state.next", ".bad.jsonl"):
        path = pathlib.Path(file(f"kept.jsonl{ending}", data))
        fails(2, "would be written over", "run", small(), "--input", path, "-o", out, "--format", "jsonl")
        assert path.read_bytes() == data
        path.unlink()
        if ending != ".bad.jsonl":
            fails(2, "would be written over", "run", small(), "--input", file("rows.jsonl", data), "-o", out, "--bad-rows", path)
    fails(2, "would be written over: it is the output", "run", small(), "--input", file("rows.jsonl", data), "-o", out, "--bad-rows", HERE / "." / "../" / HERE.name / "kept.jsonl")
    name = file("copy.retort", pathlib.Path(small()).read_bytes())
    fails(2, "it is the input, the model,", "run", name, "--input", file("rows.jsonl", data), "-o", name)
    fails(2, "-o: the name of the file is empty", "run", small(), "--input", file("rows.jsonl", data), "-o", "")
    fails(1, "no/bad: cannot create", "run", small(), "--input", file("rows.jsonl", data), "-o", out, "--bad-rows", "no/bad")
    (HERE / "nowhere.jsonl").symlink_to("no/file.jsonl")
    fails(1, "a dangling link", "run", small(), "--input", file("rows.jsonl", data), "-o", HERE / "nowhere.jsonl")
    assert (HERE / "nowhere.jsonl").is_symlink() and not list(HERE.glob("kept*")) and not list(HERE.glob("nowhere.jsonl.*"))


@test
def full_disk_on_stdout():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([RETORT, "run", small(), "--input", file("full.csv", CSV)], stdout=full, stderr=subprocess.PIPE, timeout=300)
    assert done.returncode == 1 and b"cannot write: No space left" in done.stderr, done


@test
def tables_given_as_texts():
    path = file("given.csv", CSV)
    fails(2, f"retort run {small()} --input {path}", "run", small(), path)
    with open(path) as table:
        done = subprocess.run([RETORT, "run", small()], stdin=table, capture_output=True, timeout=300)
    assert done.returncode == 2 and b"--input " in done.stderr and done.stdout == b"", done
    tabs = file("given.tsv", "good\tfilm\n")
    with open(tabs) as table:
        done = subprocess.run([RETORT, "run", small(), "--pairs"], stdin=table, capture_output=True, timeout=300)
    assert done.returncode in (0, 3) and b"--input" not in done.stderr, done


@test
def a_tab_is_no_pair():
    one, error = retort("run", model("bert-classify"), "--json", "good\tfilm")
    assert error == "" and one == retort("run", model("bert-classify"), "--json", "good film")[0]
    assert one != retort("run", model("bert-classify"), "--json", "--pairs", "good\tfilm")[0]
    ids = [rows("tokenize", model("bert-classify"), *options, "good\tfilm")[0]["ids"] for options in ([], ["--pairs"])]
    assert len(ids[0]) == 4 and len(ids[1]) == 5, ids


@test
def row_limit():
    data = "text\n" + "film\n" * 100
    assert run("limit.csv", data, "--rows", "7").count(b"\n") == 8
    assert run("limit.csv", data, "--rows", "1000").count(b"\n") == 101


# ---- many rows ----


@test
def rows_stay_in_order_on_every_number_of_threads():
    lines = large(3000)
    data = "id\ttext\tn\n" + "\n".join(lines[:1500]) + "\nbad row\n" + "\n".join(lines[1500:]) + "\n"
    path, outs = file("order.tsv", data), []
    for threads in ("1", "2", "3"):
        out, error = retort("run", small(), "--input", path, "--threads", threads)
        assert "line 1502: expected 3 columns, found 1" in error
        outs.append(out)
    assert outs[0] == outs[1] == outs[2] and outs[0].count(b"\n") == 3001
    assert [line.rsplit(b"\t", 2)[0].decode() for line in outs[0].splitlines()[1:]] == lines
    assert retort("run", small(), "--input", path, "--batch", "3")[0] == outs[0]


def peak_of(*args):
    """The highest VmHWM in KB seen of a run; that of wait4 has the memory of Python's fork, too."""
    run, peak = subprocess.Popen([RETORT, *map(str, args)], stderr=subprocess.DEVNULL), 0
    while run.poll() is None:
        for line in pathlib.Path(f"/proc/{run.pid}/status").read_text().splitlines():
            peak = max(peak, int(line.split()[1])) if line.startswith("VmHWM:") else peak
        time.sleep(0.02)
    assert run.returncode == 0
    return peak


@test
def memory_does_not_grow_with_the_table():
    if os.environ.get("RETORT_SANITIZER", "none") != "none":
        raise Skip("a sanitizer keeps what was freed")
    peaks = []
    for count in (15000, 75000):
        path = file("grow.tsv", "id\ttext\tn\n" + "\n".join(large(count)) + "\n")
        peaks.append(peak_of("run", small(), "--input", path, "-o", HERE / "grown.tsv", "--threads", "2"))
    assert 1000 < peaks[0] and peaks[1] < peaks[0] + 3000, peaks


def kill_after_a_save(run, out):
    """Kills a run that has just saved its state: stopped for the second that lies between saves, it saves at its next block."""
    def state():
        """Which file it is; None: there is none."""
        with contextlib.suppress(FileNotFoundError):
            return os.stat(f"{out}.state").st_ino
    wait_until(lambda: os.path.exists(f"{out}.part") or run.poll() is not None, "it begins")
    before = state()
    run.send_signal(signal.SIGSTOP)
    time.sleep(1.1)
    run.send_signal(signal.SIGCONT)
    wait_until(lambda: run.poll() is not None or state() not in (None, before), "it saves")
    run.kill()


def killed_and_resumed(name, data, moments, *options):
    """(output of a run that was not killed, of one that was). It is killed after its first save and then at these moments (shares of
    its time)."""
    path = file(name, data)
    whole, cut = HERE / ("whole-" + name), HERE / ("cut-" + name)
    cut.unlink(missing_ok=True)
    start = time.monotonic()
    retort("run", small(), "--input", path, "-o", whole, "--threads", "1", *options)
    spent = time.monotonic() - start
    saved = []
    for moment in (None, *moments):
        run = subprocess.Popen([RETORT, "run", small(), "--input", path, "-o", cut, "--threads", "1", "--resume", *options], stderr=subprocess.PIPE)
        if moment is None:
            kill_after_a_save(run, cut)
        else:
            time.sleep(spent * moment)
            run.kill()
        run.communicate()
        if cut.exists():  # it was whole already: the caller compares it
            break
        assert run.returncode != 0
        saved.append(os.path.exists(f"{cut}.state"))
    if not cut.exists() or os.path.exists(f"{cut}.state"):  # killed before it had renamed the one and removed the other
        retort("run", small(), "--input", path, "-o", cut, "--resume")  # another number of threads
    assert not os.path.exists(f"{cut}.state") and not os.path.exists(f"{cut}.part")
    assert saved and all(saved), f"{name}: a run was killed before it had saved its state"
    return whole, cut


@test
def inputs_that_change_are_told():
    path = file("changing.tsv", "text\n" + "good film\n" * 400000)  # more than is read ahead of a pipe that nobody reads
    for change in (lambda: os.truncate(path, 3000000), lambda: open(path, "a").write("more\n")):
        run = subprocess.Popen([RETORT, "run", small(), "--input", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        run.stdout.read(1000)
        change()
        error = run.communicate()[1].decode()
        assert run.returncode == 3 and f"{path}: it changed while it was read" in error, (run.returncode, error)


@test
def killed_runs_go_on():
    lines = large(40000, 7)
    for at in (10, 5000, 20000, 39999):
        lines[at] = f"bad {at}"
    data = "id\ttext\tn\n" + "\n".join(lines) + "\n"
    for name in ("kill.tsv", "kill.tsv.gz", "kill.tsv.zst"):
        draw = random.Random(name)
        packed, moments = gzip.compress(data.encode(), 1) if name.endswith(".gz") else data, [draw.uniform(0.05, 0.6) for _ in range(3)]
        whole, cut = undisturbed(lambda: killed_and_resumed(name, packed, moments))
        assert whole.read_bytes() == cut.read_bytes(), name
        assert pathlib.Path(f"{whole}.bad.jsonl").read_bytes() == pathlib.Path(f"{cut}.bad.jsonl").read_bytes()
    text = gzip.decompress((HERE / "whole-kill.tsv.gz").read_bytes()).decode()
    assert text == (HERE / "whole-kill.tsv").read_text()
    assert [line.split("\t")[0] for line in text.splitlines()[1:]] == [line.split("\t")[0] for line in lines if "\t" in line]


def state_of_a_killed_run(name, data):
    """A run that was killed after it had saved its state: (input, output)."""
    path, out = file(name, data), HERE / ("out-" + name)

    @undisturbed
    def killed():
        run = subprocess.Popen([RETORT, "run", small(), "--input", path, "-o", out, "--threads", "1"], stderr=subprocess.PIPE)
        kill_after_a_save(run, out)
        run.communicate()
        assert os.path.exists(f"{out}.state"), "the run ended before its first save"
    return path, out


@test
def what_cannot_be_resumed():
    data = "id\ttext\tn\n" + "\n".join(large(40000, 3)) + "\n"
    path, out = state_of_a_killed_run("later.tsv", data)
    fails(2, "--resume goes on with it", "run", small(), "--input", path, "-o", out)
    fails(2, "other options or another model", "run", small(), "--input", path, "-o", out, "--resume", "--scores")
    fails(2, "other options or another model", "run", model("bert-classify"), "--input", path, "-o", out, "--resume")
    fails(2, "rows were read before the run was killed", "run", small(), "--input", path, "-o", out, "--resume", "--rows", "1")
    fails(3, "are not those that were read before", "run", small(), "--input", file("later2.tsv", data.replace("\n1\t", "\n9\t")), "-o", out, "--resume")
    state = pathlib.Path(f"{out}.state").read_text()
    pathlib.Path(f"{out}.state").write_text("{}")
    fails(3, "this is no state of a run", "run", small(), "--input", path, "-o", out, "--resume")
    pathlib.Path(f"{out}.state").write_text(json.dumps({**json.loads(state), "rows": -1}))
    fails(3, "this is no state of a run: a number is negative", "run", small(), "--input", path, "-o", out, "--resume")
    pathlib.Path(f"{out}.state").write_text(state)
    os.truncate(f"{out}.part", 10)
    fails(3, f"shorter than at its last save: remove {out}.state to begin anew", "run", small(), "--input", path, "-o", out, "--resume")


@test
def nothing_to_resume():
    error = retort("run", small(), "--input", file("first.csv", CSV), "-o", HERE / "first-out.csv", "--resume")[1]
    assert "beginning with the first row" in error and (HERE / "first-out.csv").read_bytes() == run("first.csv", CSV)


@test
def progress_is_for_terminals():
    error = retort("run", small(), "--input", file("quiet.csv", CSV), "-o", HERE / "quiet-out.csv")[1]
    assert "\r" not in error and "3 rows in" in error
    assert retort("run", small(), "--input", file("quiet.csv", CSV))[1] == ""


main()
