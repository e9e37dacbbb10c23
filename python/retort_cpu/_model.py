# SPDX-License-Identifier: Apache-2.0
"""Models and what they answer."""
import collections
import ctypes
import operator
import os
import sys
import weakref

import numpy

from . import _retort as c
from ._library import (Callback, Error, as_dict, call, failure, interrupts, lib, names_array, path_of, struct, text_of, threads_here,
                       warn, whole, work)
from ._texts import Texts, as_list, names_of

TASKS = ("classify", "tag", "answer", "fill", "embed")
AGGREGATIONS = ("simple", "none", "first", "average", "max")


UNPACK = ("auto", "always", "never")


def unpack_number(unpack):
    if unpack is not None and unpack not in UNPACK:
        raise Error(f"unpack {unpack!r}: expected one of {', '.join(UNPACK)}")
    return None if unpack is None else UNPACK.index(unpack)


def task_number(task):
    if task not in TASKS:
        raise Error(f"task {task!r}: expected one of {', '.join(TASKS)}")
    return TASKS.index(task)


class _Owned:
    """A pointer that is freed with its owner. One that a forked child inherits is left alone: its threads are the parent's."""

    def __init__(self, free, pointer):
        self.free, self.pointer = free, pointer

    def __del__(self):
        pointer, self.pointer = self.pointer, None
        if pointer:
            self.free(pointer)


def find(name):
    """The file or folder that a model name stands for: a path; else NAME.retort in $RETORT_MODELS, in the package
    retort_cpu_NAME (sentiment: ``pip install retort-cpu-sentiment``), or OWNER/NAME in the local cache of the hub."""
    if isinstance(name, Model) or not isinstance(name, (str, bytes, os.PathLike)):
        raise TypeError(f"model: expected a path, or the name of a model, found {type(name).__name__}: {name!r:.60}")
    path = os.fsdecode(name)
    if os.path.exists(path):
        return path
    if "/" not in path and "." not in path:
        folders = [f for f in os.environ.get("RETORT_MODELS", "").split(":") if f] + shipped_folders(path)
        for folder in folders:
            if os.path.exists(found := os.path.join(folder, path + ".retort")):
                return found
    elif path.count("/") == 1 and not path.startswith((".", "/")):
        room = ctypes.create_string_buffer(4096)
        call(lib.retort_hub_find, room, len(room), path_of(path))
        return os.fsdecode(room.value)
    more = ": pip install retort-cpu-sentiment has it" if path == "sentiment" else ""
    raise Error(f"{path}: no such file or folder, and no model of that name{more}", "IO")


def shipped_folders(name):
    from importlib.util import find_spec
    spec = find_spec(f"retort_cpu_{name}") if name.isidentifier() else None
    return [] if spec is None or not spec.submodule_search_locations else list(spec.submodule_search_locations)


class Model:
    """A model in memory. Any number of threads may use it: each call takes a session of its own.

    source: a .retort file, a checkpoint folder or .onnx file (imported in memory), the name of a shipped model, or
        OWNER/NAME in the local cache of the Hugging Face hub.
    threads: of each session; None: OMP_NUM_THREADS (Spark sets it to spark.task.cpus), else what affinity, the cgroup's
        quota and the physical cores allow. Give 1 where a thread pool or worker processes are the parallelism.
    task: "classify", "tag", "answer", "fill" or "embed", instead of what a checkpoint says; not for .retort files.
    isa: at most these instructions: "ref", "avx2", "vnni", "amx"; None: the best of this CPU.
    provider: "native", or another engine, "onnxruntime" or "openvino".
    special_as_text: "[SEP]" and the like inside a text are plain text: for untrusted texts.
    unpack: "auto", "always" or "never": whether weights of 4 and fewer bits are unpacked to int8, which is faster on some CPUs and takes
        memory of this process, where the file's pages are shared. "never" for many processes of one large model. The answers are the same.

    Raises Error, with the library's sentence, for everything that fails. A forked child may go on using a model.
    """

    def __init__(self, source, *, threads=None, task=None, isa=None, provider=None, special_as_text=False, unpack=None):
        self._source = find(source)
        self._task = task
        unpack_number(unpack)
        if not isinstance(special_as_text, bool):
            raise TypeError(f"special_as_text {special_as_text!r:.60}: expected True or False")
        self._set(None, threads=threads, isa=isa, provider=provider, special_as_text=special_as_text, unpack=unpack)
        self._session_options(None)
        self._handle = self._read()
        self._describe()

    @classmethod
    def _of(cls, pointer, like=None):
        """The owner of a model that the library made."""
        self = cls.__new__(cls)
        self._source = self._task = None
        self._set(_Owned(lib.retort_model_free, pointer), **(like._options if like is not None else {}))
        self._describe()
        return self

    def _set(self, handle, **options):
        self._handle = handle
        self._options = options
        self._sessions = collections.defaultdict(collections.deque)  # by prompt: those that nobody uses; append and pop are atomic
        _models.add(self)

    def _read(self):
        out = ctypes.c_void_p()
        if os.path.isdir(self._source) or self._source.endswith(".onnx"):
            options = struct("import_options")
            if self._task is not None:
                options.task, options.force_task = task_number(self._task), True
            call(lib.retort_model_import, out, path_of(self._source), options)
        elif self._task is not None:
            raise Error(f"{self._source}: a .retort file has its task: task is for checkpoints")
        else:
            call(lib.retort_model_load, out, path_of(self._source))
        return _Owned(lib.retort_model_free, out.value)

    def _describe(self):
        info = struct("info")
        status = lib.retort_model_info(self._handle.pointer, info)
        if status != c.RETORT_OK:
            raise failure(status)
        self.info = as_dict(info)
        self.info["task"] = TASKS[info.task]
        self.info["problem"] = ("single_label", "multi_label", "regression")[info.problem]
        self._columns = info.labels
        self.labels = []
        while (name := lib.retort_model_label(self._handle.pointer, len(self.labels))) is not None:
            self.labels.append(text_of(name))
        if not self.labels and self.task in ("classify", "tag"):
            self.labels = [f"LABEL_{i}" for i in range(info.labels)]

    def _forked(self):
        """In a forked child: the parent's threads are not here, and another thread may have been inside of the model."""
        for pool in self._sessions.values():
            for session in pool:
                session.pointer = None
        self._sessions = collections.defaultdict(collections.deque)
        if self._source is not None:
            self._handle.pointer = None
            self._handle = None  # read again when it is used

    @property
    def _pointer(self):
        if self._handle is None:
            self._handle = self._read()
        return self._handle.pointer

    @property
    def task(self):
        """"classify", "tag", "answer", "fill" or "embed"."""
        return self.info["task"]

    @property
    def prompts(self):
        """Prompts of an embedding model by name."""
        prompts, text = {}, ctypes.c_char_p()
        while (name := lib.retort_model_prompt(self._pointer, len(prompts), text)) is not None:
            prompts[text_of(name)] = text_of(text.value)
        return prompts

    @property
    def truncated(self):
        """How many texts were longer than the model reads (``info["max_length"]`` tokens) and cut, in the calls so far that have ended."""
        total, found = 0, struct("session_info")
        for pool in list(self._sessions.values()):
            for session in list(pool):
                lib.retort_session_describe(session.pointer, found)
                total += found.truncated
        return total

    @property
    def warnings(self):
        """What the import read otherwise than transformers would."""
        texts = []
        while (text := lib.retort_model_warning(self._pointer, len(texts))) is not None:
            texts.append(text_of(text))
        return texts

    def __repr__(self):
        return f"<retort_cpu.Model {self._source or 'in memory'}: {self.info['family']} {self.task} {self.info['recipe']}>"

    def __reduce__(self):
        if self._source is None:
            raise TypeError("a model that was made in memory has no file: save it, and pickle Model(path)")
        return _reopen, (os.path.abspath(self._source), self._task, self._options)

    def close(self):
        """Ends the sessions that nobody uses; their threads end. The next call opens new ones."""
        self._sessions = collections.defaultdict(collections.deque)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- Sessions ----

    def _session_options(self, prompt):
        o = self._options
        return struct("session_options", threads=threads_here(o.get("threads")), isa=o.get("isa"), provider=o.get("provider"),
                      special_as_text=o.get("special_as_text", False), unpack=unpack_number(o.get("unpack")), prompt_name=prompt, **interrupts())

    def _open_session(self, prompt):
        out = ctypes.c_void_p()
        call(lib.retort_session_open, out, self._pointer, self._session_options(prompt))
        return _Owned(lib.retort_session_close, out.value)

    def _use(self, task, prompt=None):
        if self.task != task:
            raise Error(f"{task}: the model was made to {self.task}")
        return _Session(self, prompt)

    def _rows(self, texts, task, write, prompt=None, limit=None, progress=None):
        """Calls write(session, texts, first, count) for what one call takes."""
        with self._use(task, prompt) as session:
            for first, count in texts.slices():
                write(session, texts.at(first), first, count)
                if progress is not None:
                    progress("texts", first + count, len(texts))

    # ---- Classify ----

    def _classified(self, texts, logits, batch_size=None, progress=None):
        texts = Texts(texts, batch_size)
        scores = numpy.empty((len(texts), self._columns), numpy.float32)
        raw = numpy.empty_like(scores) if logits else None
        row = self._columns * 4

        def write(session, at, first, count):
            call(lib.retort_classify, session, at, count, scores.ctypes.data + first * row,
                 raw.ctypes.data + first * row if logits else None, count * self._columns)

        self._rows(texts, "classify", write, progress=progress)
        return raw if logits else scores

    def scores(self, texts, *, batch_size=None, progress=None):
        """float32 [texts, labels]: softmax, sigmoid or the plain value, as the model's problem type says. The library writes
        into the array. One text gives [labels]. A pair is a tuple of two strings.

        batch_size: most texts of one call into the library; progress: progress(what, done, total), between calls."""
        items, one = as_list(texts)
        scores = self._classified(items, False, batch_size, progress)
        return scores[0] if one else scores

    def logits(self, texts, *, batch_size=None, progress=None):
        """float32 [texts, labels]: what the head computes, before softmax or sigmoid."""
        items, one = as_list(texts)
        logits = self._classified(items, True, batch_size, progress)
        return logits[0] if one else logits

    def classify(self, texts, top_k=1, *, batch_size=None, progress=None):
        """The top_k best labels (None: all) of each text, best first: [{"label": str, "score": float}, …]; for a list of texts a
        list of these."""
        items, one = as_list(texts)
        scores = self._classified(items, False, batch_size, progress)
        best = best_columns(scores, top_k)
        answers = [[{"label": self.labels[i], "score": float(row[i])} for i in order] for row, order in zip(scores, best)]
        return answers[0] if one else answers

    def zero_shot(self, text, labels, *, hypothesis=None, multi_label=False):
        """float32 [labels]: how well the text entails "This example is LABEL." (hypothesis: another format string with {}), by a
        natural-language-inference model."""
        if not isinstance(text, str):
            raise TypeError(f"zero_shot: expected a str, found {type(text).__name__}: {text!r:.60}")
        candidates = Texts(names_of(labels, "zero_shot: labels"))
        if self.task == "classify" and not any(label.lower().startswith("entail") for label in self.labels):
            warn(f"no label of the model begins with 'entail', so the last one, {self.labels[-1]!r}, is used: is this a "
                 "natural-language inference model?")
        scores = numpy.empty(len(candidates), numpy.float32)
        options = struct("zero_shot_options", hypothesis=hypothesis, multi_label=multi_label)
        with self._use("classify") as session:
            call(lib.retort_zero_shot, session, Texts([text]).at(0), candidates.at(0), len(candidates), options,
                 scores.ctypes.data)
        return scores

    # ---- Embed ----

    def embed(self, texts, *, normalize=False, prompt_name=None, dimensions=None, batch_size=None, progress=None):
        """float32 [texts, hidden]; one text gives [hidden]. The library writes into the array.

        normalize: to length 1. prompt_name: the prompt put before each text; None: the model's default, "": none.
        dimensions: only the first ones (before they are normalised)."""
        items, one = as_list(texts)
        table = Texts(items, batch_size)
        vectors = numpy.empty((len(table), self._columns), numpy.float32)

        def write(session, at, first, count):
            call(lib.retort_embed, session, at, count, vectors.ctypes.data + first * self._columns * 4, count * self._columns)

        self._rows(table, "embed", write, prompt_name, progress=progress)
        if dimensions is not None:
            if whole(dimensions, "dimensions", ", or None for all") > self._columns:
                raise Error(f"dimensions {dimensions}: the model has {self._columns}")
            vectors = numpy.ascontiguousarray(vectors[:, :dimensions])
        if normalize:
            lengths = numpy.linalg.norm(vectors, axis=1, keepdims=True)
            numpy.divide(vectors, lengths, out=vectors, where=lengths > 0)
        return vectors[0] if one else vectors

    def encode(self, sentences, prompt_name=None, prompt=None, batch_size=32, show_progress_bar=None, output_value="sentence_embedding",
               precision="float32", convert_to_numpy=True, convert_to_tensor=False, device=None, normalize_embeddings=False,
               truncate_dim=None, **unknown):
        """float32 [texts, hidden]: embed, with the arguments of SentenceTransformer.encode; Error for those that a CPU and NumPy cannot
        follow. A tuple is a list of texts, as there. batch_size is the most texts of one call into the library, which forms its own
        batches; sorting by length is not needed."""
        refused = {"output_value": output_value != "sentence_embedding", "precision": precision != "float32",
                   "convert_to_tensor": convert_to_tensor, "device": device not in (None, "cpu"), **dict.fromkeys(unknown, True)}
        for name, wrong in refused.items():
            if wrong:
                raise Error(f"encode: {name} is not supported: the answer is float32 in NumPy, computed by the CPU")
        if isinstance(sentences, tuple):
            sentences = list(sentences)
        if prompt is not None:
            if not isinstance(prompt, str):
                raise TypeError(f"prompt {prompt!r:.60}: expected a str, or None")
            items, one = as_list(sentences)
            sentences = [prompt + s for s in items]
            sentences, prompt_name = sentences[0] if one else sentences, ""
        vectors = self.embed(sentences, normalize=normalize_embeddings, prompt_name=prompt_name, dimensions=truncate_dim,
                             batch_size=batch_size if batch_size != 32 else None,
                             progress=_bar if show_progress_bar else None)
        return vectors if convert_to_numpy else list(vectors)

    def similarity(self, a, b):
        """float32 [rows of a, rows of b]: cosine, dot product, negative euclidean or manhattan distance, as the model says."""
        try:
            a, b = (numpy.atleast_2d(numpy.asarray(x, numpy.float32)) for x in (a, b))
        except (TypeError, ValueError) as error:
            raise TypeError(f"similarity: expected vectors, as embed gives them, not texts: {error}") from None
        if a.shape[1] != b.shape[1]:
            raise Error(f"similarity: vectors of {a.shape[1]} and of {b.shape[1]} numbers")
        kind = self.info["similarity"]
        if kind == "cosine":
            a, b = (x / numpy.maximum(numpy.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (a, b))
        if kind in ("cosine", "dot"):
            return a @ b.T
        out = numpy.empty((len(a), len(b)), numpy.float32)
        for i, row in enumerate(a):
            apart = row - b
            out[i] = -numpy.linalg.norm(apart, axis=1) if kind == "euclidean" else -numpy.abs(apart).sum(axis=1)
        return out

    # ---- Arrow ----

    def predict_arrow(self, column, name=None):
        """Answers a column of texts of pyarrow, Polars, DuckDB or another reader of Arrow's C data, without copies: an iterator of
        ArrowAnswers, one for each chunk, which these readers also take whole (``__arrow_c_stream__``; ``__arrow_c_array__`` of one
        array). Texts are utf8, large_utf8, utf8_view, or a dictionary of them; a null has null answers. name: the column of a table or
        record batch. For models that classify or embed."""
        from ._arrow import predict
        return predict(self, column, name)

    # ---- Tag, answer, fill ----

    def tag(self, texts, aggregation="simple", *, stride=None, ignore=("O",), first_window=False):
        """Entities of each text: [{"entity_group", "score", "word", "start", "end"}, …], start and end as indices of the str; with
        aggregation "none" the tokens: {"entity", "score", "index", "word", "start", "end"}. For a list of texts a list of these.

        aggregation: "simple", "none", "first", "average" or "max", as in transformers. stride: tokens by which the windows of a
        long text overlap."""
        items, one = as_list(texts)
        if aggregation not in AGGREGATIONS:
            raise Error(f"aggregation {aggregation!r}: expected one of {', '.join(AGGREGATIONS)}")
        if not all(isinstance(item, str) for item in items):
            raise TypeError("tag: expected a str or a list of str, found a pair" if one else "tag: expected a list of str")
        table = Texts(items)
        options = struct("tag_options", aggregation=AGGREGATIONS.index(aggregation), stride=stride, cut=first_window)
        options.ignore, options.ignore_count = names_array(names_of(ignore, "tag: ignore"))
        if not ignore:
            raise Error("tag: ignore is empty: name a label that does not occur to omit none")
        answers = [[] for _ in items]
        with self._use("tag") as session, _Spans() as spans:
            for first, count in table.slices():
                call(lib.retort_tag, session, table.at(first), count, options, spans)
                for span in spans:
                    answers[first + span.text].append(self._entity(span, items[first + span.text], aggregation == "none"))
        return answers[0] if one else answers

    def _entity(self, span, text, single):
        text = text if isinstance(text, str) else text[0]
        place = {"start": span.start, "end": span.end}
        if single:
            return {"entity": text_of(span.name), "score": span.score, "index": span.token,
                    "word": text_of(lib.retort_model_piece(self._pointer, span.piece)), **place}
        return {"entity_group": text_of(span.name), "score": span.score, "word": text[span.start:span.end], **place}

    def answer(self, question, context, top_k=1, *, max_answer_len=15, max_seq_len=None, doc_stride=None, max_question_len=None,
               handle_impossible_answer=False, align_to_words=True):
        """The best answers to a question in a context: [{"score", "start", "end", "answer"}, …], best first. Arguments as in
        transformers' question-answering pipeline, lengths in tokens."""
        for name, text in {"question": question, "context": context}.items():
            if not isinstance(text, str):
                raise TypeError(f"answer: {name}: expected a str, found {type(text).__name__}")
        for name, number in {"top_k": top_k, "max_answer_len": max_answer_len}.items():
            whole(number, name)
        options = struct("answer_options", top=top_k, longest=max_answer_len, window=max_seq_len, stride=doc_stride,
                         question=max_question_len, impossible=handle_impossible_answer, pieces=not align_to_words)
        asked, given = (t.encode("utf-8", "surrogatepass") for t in (question, context))
        with self._use("answer") as session, _Spans() as spans:
            call(lib.retort_answer, session, asked, len(asked), given, len(given), options, spans)
            return [{"score": s.score, "start": s.start, "end": s.end, "answer": context[s.start:s.end]} for s in spans]

    def fill(self, texts, top_k=5, *, targets=None):
        """The top_k best pieces for each mask token of a text: [{"score", "token", "token_str"}, …]; a list of these where a text has
        several masks, and for a list of texts a list of answers. targets: the only words to consider, a str or a list of them."""
        items, one = as_list(texts)
        top_k = min(whole(top_k, "top_k"), self.info["vocab"])
        options = struct("fill_options")
        if targets is not None:
            words = Texts(names_of([targets] if isinstance(targets, str) else targets, "fill: targets"))
            options.targets = ctypes.cast(words.table.ctypes.data, ctypes.POINTER(c.retort_text))
            options.target_count = len(words)
        with self._use("fill") as session:
            answers = [self._filled(session, Texts([text]), top_k, options) for text in items]
        return answers[0] if one else answers

    def _filled(self, session, text, k, options):
        masks, room = ctypes.c_size_t(), 1
        while True:
            guesses, error = (c.retort_fill_guess * (k * room))(), c.retort_error()
            status = lib.retort_fill(session, text.at(0), k, options, guesses, room, ctypes.byref(masks), error)
            if status == c.RETORT_LIMIT and masks.value > room:
                room = masks.value
                continue
            if status != c.RETORT_OK:
                raise failure(status, error)
            break
        found = [[{"score": g.score, "token": g.id, "token_str": self.decode([g.id])} for g in guesses[m * k:(m + 1) * k] if g.id >= 0]
                 for m in range(masks.value)]
        return found[0] if len(found) == 1 else found

    # ---- Tokens ----

    def tokenize(self, text, *, max_length=None, special_as_text=None, prompt_name=None):
        """{"ids": int32 [tokens], "types": int32 [tokens], "offsets": uint32 [tokens, 2]} of a text or a pair; offsets are indices of
        the str. max_length: tokens; None: the model's, 0: no limit."""
        if not isinstance(text, (str, tuple)):
            raise TypeError(f"tokenize: expected a str, or a tuple of two, found {type(text).__name__}: {text!r:.60}")
        special = self._options.get("special_as_text", False) if special_as_text is None else special_as_text
        options = struct("tokenize_options", max_length=max_length, special_as_text=special, prompt_name=prompt_name)
        tokens = c.retort_tokens()
        try:
            call(lib.retort_tokenize, self._pointer, Texts([text]).at(0), options, tokens)
            n = tokens.count
            arrays = {"ids": (tokens.ids, (n,)), "types": (tokens.types, (n,)), "offsets": (tokens.offsets, (n, 2))}
            return {name: numpy.ctypeslib.as_array(at, shape).copy() for name, (at, shape) in arrays.items()}
        finally:
            lib.retort_tokens_free(tokens)

    def decode(self, ids, *, skip_special=True):
        """The text of token ids."""
        ids = numpy.asarray(ids)
        if ids.ndim != 1 or (len(ids) and ids.dtype.kind not in "iu"):
            raise TypeError(f"decode: expected a list of whole numbers, found {ids!r:.60}")
        for token in ids[(ids < 0) | (ids >= self.info["vocab"])][:1]:
            raise Error(f"decode: {token} is no piece: the vocabulary has {self.info['vocab']}")
        ids = numpy.ascontiguousarray(ids, numpy.int32)
        pieces = []
        write = Callback(c.retort_write_fn, lambda _user, text, length: pieces.append(ctypes.string_at(text, length)))
        call(lib.retort_decode, self._pointer, ids.ctypes.data, len(ids), skip_special, write.c, None)
        return b"".join(pieces).decode("utf-8", "replace")

    def piece(self, token):
        """The piece with this id, "##ing"; None: there is none."""
        token = operator.index(token)
        return text_of(lib.retort_model_piece(self._pointer, token)) if 0 <= token < self.info["vocab"] else None

    # ---- Files ----

    def save(self, path):
        """Writes a .retort file beside `path` and renames it: a save that fails leaves the old file."""
        call(lib.retort_model_save, self._pointer, path_of(path))

    def export(self, path, *, fused=False, standard=False, external_over=0):
        """Writes ONNX. fused: with operators of com.microsoft. Returns {"bytes", "nodes", "external"}."""
        options, info = struct("export_options", fused=fused, standard=standard, external_over=external_over), struct("export_info")
        call(lib.retort_model_export, self._pointer, path_of(path), options, info)
        return as_dict(info)

    def _made(self, function, options, *more, callbacks=()):
        """A model that the library makes of this one."""
        return made_by(callbacks, function, self._pointer, options, *more, like=self)


def made_by(callbacks, function, *arguments, like=None):
    """The Model that a function of the library makes, whose first argument is where to write it."""
    out = ctypes.c_void_p()
    try:
        work(callbacks, function, out, *arguments)
    except BaseException:
        lib.retort_model_free(out)
        raise
    return Model._of(out.value, like)


class _Session:
    """A session for one call: taken from those that nobody uses, or a new one. It goes back if the call did not fail badly."""

    def __init__(self, model, prompt):
        self.pool, self.model, self.prompt = model._sessions[prompt], model, prompt

    def __enter__(self):
        try:
            self.owned = self.pool.pop()
        except IndexError:
            self.owned = self.model._open_session(self.prompt)
        return self.owned.pointer

    def __exit__(self, *_):
        self.pool.append(self.owned)

    def give_away(self):
        """Instead of __exit__: it ends with the stream that has it."""
        self.owned.pointer = None


class _Spans:
    """The library's growing array of spans."""

    def __enter__(self):
        self.spans = c.retort_spans()
        self._as_parameter_ = ctypes.byref(self.spans)
        return self

    def __exit__(self, *_):
        lib.retort_spans_free(self._as_parameter_)

    def __iter__(self):
        return iter(self.spans.items[:self.spans.count] if self.spans.count else ())


def best_columns(scores, top_k):
    """Indices [rows, k] of the highest, highest first, equal ones in order."""
    rows, columns = scores.shape
    k = columns if top_k is None else min(whole(top_k, "top_k", ", or None for all"), columns)
    if k == 1:
        return scores.argmax(axis=1)[:, None] if rows else numpy.empty((0, 1), int)
    return numpy.argsort(-scores, axis=1, kind="stable")[:, :k]


def _bar(what, done, total):
    width = 30 * done // max(total, 1)
    sys.stderr.write(f"\r{what} |{'█' * width}{' ' * (30 - width)}| {done}/{total}{chr(10) if done == total else ''}")
    sys.stderr.flush()


def _reopen(source, task, options):
    return Model(source, task=task, **options)


def _after_fork():
    for model in list(_models):
        model._forked()


_models: "weakref.WeakSet[Model]" = weakref.WeakSet()
os.register_at_fork(after_in_child=_after_fork)
