# SPDX-License-Identifier: Apache-2.0
"""Making models: import, quantise, train, evaluate, tune."""
import ctypes
import json
import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from typing import Optional, Sequence

from . import _retort as c
from ._library import Callback, Error, as_dict, call, callback_type, lib, names_array, path_of, progress_callback, struct, text_of, threads_here, warn, work
from ._model import Model, _Owned, find, made_by, task_number
from ._texts import names_of

PROBLEMS = ("single_label", "multi_label", "regression")


@dataclass
class Head:
    """A new head for a checkpoint, to be trained.

    labels: names, or how many. problem: "single_label", "multi_label" or "regression". task: "classify" or "tag"."""

    labels: Sequence[str]
    problem: str = "single_label"
    task: str = "classify"
    seed: int = 0

    def _struct(self):
        if self.problem not in PROBLEMS:
            raise Error(f"problem {self.problem!r}: expected one of {', '.join(PROBLEMS)}")
        head = struct("head", task=task_number(self.task), problem=PROBLEMS.index(self.problem), seed=self.seed)
        if isinstance(self.labels, int):
            head.count = struct("head", count=self.labels).count
        else:
            head.labels, head.count = names_array(names_of(self.labels, "Head: labels"))
        return head


class _Data:
    """A data file for a model's task."""

    def __init__(self, path, model, **options):
        out = ctypes.c_void_p()
        call(lib.retort_dataset_open, out, path_of(path), model._pointer if model is not None else None,
             struct("dataset_options", **options))
        self.owned = _Owned(lib.retort_dataset_free, out.value)
        self.pointer = out.value


def _warner(warning):
    """What is told is never lost: without `warning` it is a UserWarning."""
    tell = warning or warn
    return Callback(callback_type("train_options", "warning"), lambda _user, text: tell(text_of(text)))


def _model_of(model):
    return model if isinstance(model, Model) else Model(model)


def _check_output(output):
    """Before the work: a model that cannot be written would be lost with the hours that made it."""
    if output is None:
        return
    path = os.path.realpath(os.fspath(output))
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        raise Error(f"{output}: is a folder: expected the name of a file", "IO")
    if not os.path.isdir(folder):
        raise Error(f"{output}: cannot be written: there is no folder {folder}", "IO")
    if not os.access(folder, os.W_OK):
        raise Error(f"{output}: cannot be written: no permission to write in {folder}", "IO")


def _split(options, names):
    return {name: options.pop(name) for name in names if name in options}


STATUS = {2: "ARGUMENT", 3: "FORMAT", 5: "PROVIDER"}  # by exit code
COLUMNS = ("text_column", "pair_column", "label_column", "label_separator")


def import_(source, output=None, *, level=3, dtype="f32", task=None, head: Optional[Head] = None, layers=None, tokenizer=None,
            without=(), languages=None, progress=None):
    """Reads a checkpoint (a folder, an .onnx file, or OWNER/NAME in the local cache of the hub) and gives a Model; with `output` also
    writes it there.

    level: of the graph, 0…3. dtype: "f32" or "bf16", of the stored matrices. head: a new one. layers: indices of those to keep.
    without: rewrites to leave out. progress: progress(what, done, total); what it raises stops the import."""
    _check_output(output)
    if head is not None and not isinstance(head, Head):
        raise TypeError(f"head: expected a Head, found {type(head).__name__}: {head!r:.60}")
    options = struct("import_options", level=level, tokenizer=tokenizer, languages=languages)
    if dtype not in ("f32", "bf16"):
        raise Error(f"dtype {dtype!r}: expected f32 or bf16")
    options.dtype = {"f32": c.RETORT_F32, "bf16": c.RETORT_BF16}[dtype]
    if task is not None:
        options.task, options.force_task = task_number(task), True
    if head is not None:
        made = head._struct()
        options.head = ctypes.pointer(made)
    if layers is not None:
        wrong = next((layer for layer in layers if not 0 <= layer < 1 << 31), None)
        if wrong is not None:
            raise Error(f"layers: {wrong} is the index of no layer")
        kept = (ctypes.c_int64 * len(layers))(*layers)
        options.layers, options.layer_count = kept, len(layers)
    if without:
        options.without, options.without_count = names_array(names_of(without, "without"))
    report = progress_callback(progress)
    options.progress = report.c
    found = find(source)
    if found.endswith(".retort"):
        raise Error(f"{found}: is imported already: Model(path) opens it", "FORMAT")
    model = made_by((report,), lib.retort_model_import, path_of(found), options)
    if output is not None:
        model.save(output)
    return model


def quantize(model, recipe="int8", data=None, output=None, *, progress=None, warning=None, **options):
    """A Model with integer weights, from a float model of level 3; with `output` also writes it there.

    recipe: "int8", "int4", or one that needs `data` (a file of texts): "gptq", "owq", "ptq+owq", "smoothquant", "smoothquant+gptq",
    "awq", "int8-static". options: of retort_quantize_options (bits, embeddings, group, samples, seed, weak_columns, memory), and of the
    data (text_column, …). progress: progress(what, done, total); what it raises stops the work. warning: warning(text); without it a
    warning is a UserWarning."""
    _check_output(output)
    model = _model_of(model)
    columns = _split(options, COLUMNS)
    texts = _Data(data, model, texts_only=True, **columns) if data is not None else None
    report, warner = progress_callback(progress), _warner(warning)
    full = struct("quantize_options", recipe=recipe, data=texts.pointer if texts else None, progress=report.c, warning=warner.c, **options)
    made = model._made(lib.retort_model_quantize, full, callbacks=(report, warner))
    if output is not None:
        made.save(output)
    return made


def dequantize(model, output=None):
    """A float Model of one with integer weights: each weight becomes the float that it stands for; what quantising lost does not come
    back. With `output` also writes it there. For training a model of which only integers are left. Error if it has none."""
    _check_output(output)
    model = _model_of(model)
    made = made_by((), lib.retort_model_dequantize, model._pointer, like=model)
    if output is not None:
        made.save(output)
    return made


def train(model, data, dev=None, output=None, *, teacher=None, progress=None, warning=None, **options):
    """(Model, result) of training on labelled texts, or on a teacher's answers; `model` stays as it is. It needs a head for the task:
    ``import_(checkpoint, head=Head(labels))``. With `output` also writes the model there.

    data, dev: files; dev chooses the best epoch. options: of retort_train_options (epochs, steps, batch, learning_rate, warmup,
    weight_decay, patience, max_length, seed, threads, recipe, bits, soft, temperature, checkpoint, resume, …), and of the data
    (text_column, label_column, …). progress: progress(state), a dict with what, epoch, step, steps, loss, dev, seconds_left, …; what it
    raises stops the training. warning: as in quantize. result: a dict with epochs, steps, loss, metric, dev, seconds, stopped, …"""
    _check_output(output)
    model, teacher = _model_of(model), _model_of(teacher) if teacher is not None else None
    columns = _split(options, COLUMNS)
    texts = _Data(data, model, **columns)
    chosen = _Data(dev, model, **columns) if dev is not None else None
    report = Callback(callback_type("train_options", "progress"),
                      lambda _user, state: progress(as_dict(state.contents)) if progress is not None else None)
    warner = _warner(warning)
    options.setdefault("threads", threads_here())
    full = struct("train_options", data=texts.pointer, dev=chosen.pointer if chosen else None,
                  teacher=teacher._pointer if teacher is not None else None, progress=report.c, warning=warner.c, **options)
    result = struct("train_result")
    made = model._made(lib.retort_train, full, result, callbacks=(report, warner))
    if output is not None:
        made.save(output)
    return made, as_dict(result)


def evaluate(model, data, reference=None, *, progress=None, max_length=None, text_column=None, pair_column=None, label_column=None,
             label_separator=None):
    """The metric of the model's task on a labelled file, with its 95 % interval, as a dict: metric, value, low, high, n, …; with a
    reference also kl, agreement, difference, difference_low, difference_high. progress: progress(what, done, total)."""
    model = _model_of(model)
    texts = _Data(data, model, text_column=text_column, pair_column=pair_column, label_column=label_column, label_separator=label_separator)
    report = progress_callback(progress)
    result = struct("eval_result")
    options = struct("eval_options", max_length=max_length, progress=report.c)
    with model._use(model.task) as session:
        if reference is None:
            work((report,), lib.retort_eval, session, texts.pointer, options, result)
        else:
            reference = _model_of(reference)
            with reference._use(reference.task) as other:
                options.reference = other
                work((report,), lib.retort_eval, session, texts.pointer, options, result)
    return as_dict(result)


def tune(model, data, output, *, floor=None, budget=None, test=None, dev=None, goal=None, progress=None, arguments=()):
    """Runs `retort tune`, which looks for the fastest and the smallest model above an accuracy floor, and gives its report as a dict.
    Models and report.html are in the folder `output`; the same call goes on with what is there.

    floor: points of the metric that may be lost. budget: "20m". goal: "fastest", "smallest" or "both". progress: progress(line) for each
    line that the command prints about its work. arguments: more of the command's. Ctrl-C ends the search; the best so far is tested."""
    from .__main__ import environment, program
    if isinstance(model, Model):
        raise TypeError("tune: expected the path or the name of a model, which it opens again and again: save this one")
    command = [program(), "tune", os.fspath(model), "--data", os.fspath(data), "-o", os.fspath(output), "--json"]
    for name, value in {"--floor": floor, "--budget": budget, "--test": test, "--dev": dev, "--for": goal}.items():
        command += [name, os.fspath(value) if isinstance(value, os.PathLike) else str(value)] if value is not None else []
    child = subprocess.Popen([*command, *names_of(arguments, "tune: arguments")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    answer = []
    reader = threading.Thread(target=lambda: answer.append(child.stdout.read()), daemon=True)
    reader.start()
    last = ""
    try:
        for line in child.stderr:
            last = line[8:].strip() if line.startswith("retort: ") else last  # no usage that follows what is wrong
            if progress is not None:
                progress(line.rstrip("\n"))
        child.wait()
    except BaseException:
        child.send_signal(signal.SIGINT)
        child.wait()
        raise
    finally:
        reader.join()
        child.stdout.close()
        child.stderr.close()
    if child.returncode < 0:
        raise Error(f"retort tune was ended by signal {-child.returncode}; the same call goes on", "CANCELLED")
    if child.returncode not in (0, 4):
        raise Error(last or f"retort tune ended with {child.returncode}", STATUS.get(child.returncode, "IO"))
    return json.loads(answer[0])
