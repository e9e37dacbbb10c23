#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tune as a user meets it: what it must never do, what stops it, what it goes on from, and bad input. Prints TAP.

    tune.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import fcntl
import html.parser
import json
import os
import pathlib
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time

sys.dont_write_bytecode = True
from harness import HERE, RETORT, ROOT, Skip, fails, file, main, retort, test

GOOD = ["good", "great", "charming", "moving", "clever", "warm", "funny", "brilliant", "lovely", "superb"]
BAD = ["bad", "dull", "boring", "awful", "clumsy", "cold", "flat", "stupid", "ugly", "terrible"]
THINGS = ["film", "story", "plot", "cast", "script", "ending", "music", "joke"]
ROWS = [(f"a {word} {thing}", label) for thing in THINGS for good, bad in zip(GOOD, BAD) for word, label in ((good, 1), (bad, 0))]


SANITIZED = os.environ.get("RETORT_SANITIZER", "none") != "none"


def in_time(function):
    """A test whose tuning has to get somewhere in seconds: with a sanitizer, that takes minutes."""
    def run():
        if SANITIZED:
            raise Skip("too slow with a sanitizer")
        function()
    run.__name__ = function.__name__
    return run


def tsv(rows):
    return "sentence\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows)


def floats():
    """Float weights: two thin layers of the model that comes with retort, taught what they lost."""
    path = HERE / "float.retort"
    if not path.exists():
        whole, thin = HERE / "whole.retort", HERE / "thin.retort"
        retort("dequantize", ROOT / "models/sentiment.retort", "-o", whole)
        retort("prune", whole, "--data", data(), "--layers", "2", "--heads", "4", "--ffn", "20%", "--rounds", "1", "-o", thin)
        retort("train", thin, "--teacher", whole, "--data", data(), "--steps", "40", "-o", path)
    return str(path)


def data():
    return file("rows.tsv", tsv(ROWS))


def state(folder):
    return json.loads((HERE / folder / "tune.json").read_text())


def start(folder, *more):
    return subprocess.Popen([RETORT, "tune", floats(), "--data", data(), "-o", str(HERE / folder), *more],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


AT_ONCE = "0.01s"  # a budget for the first candidate, which is always tried, and no other


def wait_for(what, seconds=200):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def children_of(process):
    try:
        return [int(pid) for pid in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except OSError:
        return []


def of_process(pid, name):
    """A file of /proc; empty once the process is no more."""
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def something_is_done(folder):
    return (HERE / folder / "tune.json").exists() and any(trial["status"] == "done" for trial in state(folder)["trials"])


@test
def fastest_above_a_floor_within_a_budget():
    """Whole, this search takes minutes on any machine."""
    out, error = retort("tune", floats(), "--data", data(), "--floor", "9", "--budget", "4s", "-o", HERE / "first")
    assert "the time is over, and not everything was tried" in error, error
    lines = out.decode().splitlines()
    assert "x smaller)" in lines[0] and "points (95 %: >= " in lines[0] and "test opened once" in lines[0], lines
    assert lines[-1].startswith("serve it: retort serve "), lines
    for name in ("fastest", "smallest"):
        path = HERE / "first" / f"{name}.retort"
        assert path.stat().st_size < os.path.getsize(floats()), name
        retort("run", path, "a charming film")
    assert "n/a" not in out.decode() + error and "nan" not in out.decode() + error, out


@test
def max_drop_is_enforced_on_sealed_rows():
    """What is given has a bound within the floor, and the sealed rows are in no other part."""
    s = state("first")
    turns = [claim["adjusted"] for claim in s["claims"]]
    assert turns == sorted(turns) and all(claim["adjusted"] >= claim["p"] for claim in s["claims"]), "tested one after the other"
    for claim in s["claims"]:
        assert claim["proven"] == (claim["adjusted"] <= 0.05), claim
    chosen = s["claims"][s["fastest"]]
    assert chosen["proven"] and chosen["bound"] >= -0.09, chosen
    texts = {part: {line.split("\t")[0] for line in pathlib.Path(s["split"][part]).read_text().splitlines()[1:]}
             for part in ("train", "select", "sealed")}
    assert sum(map(len, texts.values())) == len({text for text, _ in ROWS}), texts
    assert not texts["sealed"] & (texts["train"] | texts["select"]) and not texts["train"] & texts["select"]


@test
def what_the_sealed_rows_show_is_kept_for_the_report():
    """All of it is of the one opening: texts that changed, right and wrong, confusion, reliability; nothing ran on them again."""
    s = state("first")
    sealed = s["split"]["sealed_rows"]
    assert set(s["details"]) == {claim["trial"] for claim in s["claims"]}, s["details"].keys()
    for claim in s["claims"]:
        d = s["details"][claim["trial"]]
        assert d["changed"] == round((1 - claim["agreement"]) * sealed) and len(d["changed_texts"]) == min(d["changed"], 40), d["changed"]
        assert all(text["before"] != text["after"] and 0 < text["after_probability"] <= 1 for text in d["changed_texts"]), d["changed_texts"]
        sure = [text["after_probability"] for text in d["changed_texts"]]
        assert sure == sorted(sure, reverse=True), sure
        assert abs((d["only_after"] - d["only_before"]) / sealed - claim["difference"]) < 1e-9, d
        right = {which: sum(d["confusion"][which][i][i] for i in range(2)) for which in ("before", "after")}
        assert abs(right["after"] / sealed - claim["value"]) < 1e-9 and abs(right["before"] / sealed - s["sealed_value"]) < 1e-9, right
        for which in ("before", "after"):
            assert sum(map(sum, d["confusion"][which])) == sum(b["n"] for b in d["bins"][which]) == sealed
            gap = sum(abs(b["right"] - b["probability"]) * b["n"] for b in d["bins"][which] if b["n"]) / sealed
            assert abs(gap - d["ece"][which]) < 1e-9, (gap, d["ece"])
        assert 0 < d["mcnemar"] <= 1


class Page(html.parser.HTMLParser):
    """Fails on anything that a page without a server should not have."""
    def handle_starttag(self, tag, attributes):
        assert tag not in ("script", "link", "img", "iframe"), tag
        assert not any(name in ("src", "href") or name.startswith("on") for name, _ in attributes), attributes


@test
def the_report_is_one_file_that_needs_nothing_else():
    page = (HERE / "first/report.html").read_text()
    Page().feed(page)
    for part in ("Accuracy, time and size", "Why these", "The sealed test", "What changed: dense-", "Answers that changed", "Right and wrong",
                 "How sure, how right", "The road not taken", "Where time, bytes and error are", "All that was tried",
                 "To remake them", "The machine", "prefers-color-scheme:dark", "@media print", "max-width:600px"):
        assert part in page, part
    assert "n/a" not in page and ">nan" not in page and ">inf" not in page and ">-inf" not in page


@test
def what_is_remade_by_the_commands_has_the_same_bytes():
    s = state("first")
    trial = next(t for t in s["trials"] if t["name"] == s["claims"][s["smallest"]]["trial"])
    *_, command = trial["commands"]
    again = [str(HERE / "again.retort") if word == trial["file"] else word for word in command]
    retort(*again)
    assert (HERE / "again.retort").read_bytes() == (HERE / "first/smallest.retort").read_bytes()


@test
def without_labels_the_floor_is_agreement():
    texts = file("unlabelled.tsv", "sentence\n" + "".join(text + "\n" for text, _ in ROWS))
    retort("tune", floats(), "--data", texts, "--floor", "20", "--budget", AT_ONCE, "-o", HERE / "unlabelled")
    s = state("unlabelled")
    assert s["metric"] == "agreement" and any(claim["proven"] for claim in s["claims"]), s["claims"]
    assert all("changed" in d and not {"confusion", "ece", "mcnemar"} & set(d) for d in s["details"].values()), s["details"]
    assert "Right and wrong" not in (HERE / "unlabelled/report.html").read_text()


@test
@in_time
def what_is_not_proven_is_not_given():
    """53 rows cannot show a loss below a tenth of a point."""
    out, error = retort("tune", floats(), "--data", data(), "--floor", "0.1", "--budget", AT_ONCE, "-o", HERE / "strict", code=4)
    assert out == b"" and "nothing is shown to lose less than 0.1 points: nearest is 'dense-" in error, error
    assert not list((HERE / "strict").glob("*.retort")), "a model was given"


@test
@in_time
def a_candidate_slower_or_larger_than_the_input_is_never_returned():
    """The input is the smallest form already: what is larger is left out, with the reason."""
    small = ROOT / "models/sentiment.retort"
    out, error = retort("tune", small, "--data", data(), "--floor", "9", "--budget", AT_ONCE, "-o", HERE / "integers", code=4)
    assert "dense-int8: left out: larger than the input" in error, error
    assert out == b"" and "nothing was made that is neither slower nor larger" in error, error
    assert all(trial["status"] != "done" or trial["form"] == "float" for trial in state("integers")["trials"])


@test
@in_time
def a_crash_in_one_trial_costs_one_trial():
    tuning = start("crash", "--floor", "9", "--budget", "10m")
    victim = wait_for(lambda: [pid for pid in children_of(tuning) if b"w4e2" in of_process(pid, "cmdline")])
    os.kill(victim[0], signal.SIGKILL)
    wait_for(lambda: any(trial["status"] == "failed" for trial in state("crash")["trials"]))
    tuning.send_signal(signal.SIGINT)
    out, error = tuning.communicate(timeout=300)
    assert tuning.returncode == 0, error
    assert "dense-w4e2: failed: 'retort quantize' was ended by signal 9" in error, error
    trials = {trial["name"]: trial for trial in state("crash")["trials"]}
    assert trials["dense-int8"]["status"] == "done" and trials["dense-w4e2"]["status"] == "failed", trials
    assert "points (95 %" in out, out


@test
@in_time
def killed_at_any_second_keeps_the_best():
    """SIGKILL: the trial ends with it, the state and the best so far are whole, and the same command goes on without repeating
    what is done."""
    tuning = start("killed", "--floor", "9", "--budget", "10m")
    wait_for(lambda: something_is_done("killed"))
    trial = wait_for(lambda: children_of(tuning))[0]
    os.kill(tuning.pid, signal.SIGKILL)
    tuning.communicate()
    wait_for(lambda: of_process(trial, "status") == b"" or b"(zombie)" in of_process(trial, "status"))
    best = next(t for t in state("killed")["trials"] if t["status"] == "done")
    retort("info", best["file"])
    out, error = retort("tune", floats(), "--data", data(), "--floor", "9", "--budget", "1s", "-o", HERE / "killed")
    assert f"{best['name']}: " not in error and "test opened once" in out.decode(), error


@test
@in_time
def interrupted_it_tests_the_best_so_far():
    tuning = start("interrupted", "--floor", "9", "--budget", "10m")
    wait_for(lambda: something_is_done("interrupted"))
    tuning.send_signal(signal.SIGINT)
    out, error = tuning.communicate(timeout=300)
    assert tuning.returncode == 0 and "test opened once" in out, (tuning.returncode, error)


@test
def a_folder_belongs_to_one_tuning():
    fails(2, "is of another tuning ('floor' differs)", "tune", floats(), "--data", data(), "--floor", "8", "-o", HERE / "first")


@test
def floors_and_budgets_that_make_no_sense():
    for floor in ("0", "-1", "100"):
        fails(2, f"--floor: '{floor}'", "tune", floats(), "--data", data(), "--floor", floor, "-o", HERE / "no")
    for budget in ("0s", "soon", "-3m", "5"):
        fails(2, f"--budget: '{budget}' is not a time", "tune", floats(), "--data", data(), "--budget", budget, "-o", HERE / "no")


@test
def a_budget_that_is_over_at_once():
    """The first candidate and the test are always done."""
    out, error = retort("tune", floats(), "--data", data(), "--floor", "9", "--budget", AT_ONCE, "-o", HERE / "at-once")
    assert "test opened once" in out.decode() and len([t for t in state("at-once")["trials"] if t["status"] == "done"]) == 1, error
    assert "the time is over, and not everything was tried" in error, error


@test
def rows_that_the_test_has_too_are_told_and_dropped():
    both = file("both.tsv", tsv(ROWS[:30]))
    error = retort("tune", floats(), "--data", data(), "--test", both, "--floor", "30", "--budget", AT_ONCE, "-o", HERE / "overlap")[1]
    assert f"30 rows of '{data()}' are also in '{both}': dropped" in error, error
    assert state("overlap")["split"]["overlap"] == 30


@test
def too_few_rows_one_class_and_labels_unseen():
    few = file("few.tsv", tsv(ROWS[:9]))
    fails(3, "9 rows: at least 12 are needed", "tune", floats(), "--data", few, "-o", HERE / "few")
    twenty = file("twenty.tsv", tsv(ROWS[:20]))
    out, error = retort("tune", floats(), "--data", twenty, "--budget", AT_ONCE, "-o", HERE / "twenty", code=4)
    assert "6 sealed rows cannot show a loss below 50.0 points" in error, error
    one = file("one.tsv", tsv([row for row in ROWS if row[1] == 1]))
    error = retort("tune", floats(), "--data", one, "--floor", "30", "--budget", AT_ONCE, "-o", HERE / "one")[1]
    assert "all rows that select have one label" in error, error
    odd = file("odd.tsv", tsv([(text, "maybe") for text, _ in ROWS]))
    fails(3, "label 'maybe': the model has no such label", "tune", floats(), "--data", odd, "--budget", AT_ONCE, "-o", HERE / "odd")


def screen(data, columns):
    """What a terminal shows after each line feed, and in the end: a list of lists of lines."""
    lines, row, column, seen = [""], 0, 0, []
    for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|.", data, re.S):
        if part == "\x1b[K":
            lines[row] = lines[row][:column]
        elif part == "\x1b[A":
            row -= 1
        elif part == "\n":
            seen.append(list(lines))
            row += 1
        elif part == "\r":
            column = 0
        elif not part.startswith("\x1b"):
            if column == columns:
                row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
            lines[row] = lines[row].ljust(column)[:column] + part + lines[row][column + 1:]
            column += 1
        lines += [""] * (row + 1 - len(lines))
    return seen + [lines]


@test
def on_a_terminal_the_frontier_is_drawn_in_place():
    """Eighty columns: no line of the block wraps, none of it stays, and the messages do."""
    small, columns = HERE / "wide.retort", 80
    retort("import", ROOT / "test/golden/checkpoints/distilbert-wide", "-o", small)
    rows = file("tiny.tsv", tsv([(f"the {a} {b} {c}", (i + j + k) % 3) for i, a in enumerate(("cat", "dog", "film")) for j, b in enumerate(("sat", "ran", "saw"))
                                 for k, c in enumerate(("well", "on", "off", "in", "out", "up"))]))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    tuning = subprocess.Popen([RETORT, "tune", small, "--data", rows, "--floor", "90", "--budget", "3s", "-o", str(HERE / "terminal")],
                              stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    data = b""
    while chunk := read_terminal(ours):
        data += chunk
    assert tuning.wait() == 0, data.decode()
    frames = screen(data.decode(), columns)
    blocks = [[line for line in frame if line.startswith(("floor: ", "now: "))] for frame in frames]
    assert any(len(block) == 1 and block[0].startswith("floor: 90 points of accuracy below ") for block in blocks), blocks[-9:]
    assert max(map(len, blocks)) <= 2, "a block stayed"
    assert any(line.startswith(("best ", "fastest ", "smallest ")) and "|" in line and "*" in line for frame in frames for line in frame)
    assert b"now: dense-int8 (rounds the whole network: 8 bits, to nearest), " in data
    final = frames[-1]
    assert not any(line.startswith(("floor: ", "now: ", "best ")) for line in final), final
    assert any(line.startswith("retort: dense-int8: ") for line in final), final


def read_terminal(fd):
    try:
        return os.read(fd, 1 << 16)
    except OSError:  # the other end is closed
        return b""


@test
def a_plan_is_printed_before_anything_is_tried():
    out, _ = retort("tune", floats(), "--data", data(), "--floor", "9", "--plan", "-o", HERE / "plan")
    assert b"dense-int8" in out and b"8 bits, to nearest" in out, out
    assert state("plan")["trials"] == [] and not list((HERE / "plan/models").iterdir())


main()
