#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small random models of sentence-transformers for test/golden/checkpoints, as make_checkpoints.py writes them, which calls this:
cross-encoders with their activation, more poolings, sparse encoders, static embeddings, SetFit's classifiers.

    python tools/make_sentence_checkpoints.py FOLDER [NAME…]     the models of these names; all without one

golden.json has the members of make_checkpoints.py's, and here "texts" and what the library's own classes give for them:
"scores" (CrossEncoder.predict, SetFitModel.predict_proba). SetFit's need setfit 1.2, scikit-learn, pandas, datasets.
"""
import json
import pathlib
import sys
import tempfile

import make_checkpoints as base
import torch

TINY = dict(hidden=16, layers=1, heads=4, ffn=32, positions=48)
PAIRS = [("a good film", "the film was very good, and it is great acting"), ("bad play?", "not this one"),
         ("it was 1 to 0", "the play of the film in that")]


def add_members(folder, **members):
    """Puts members at the beginning of golden.json."""
    path = folder / "golden.json"
    rest = path.read_text()
    path.write_text("{" + "".join(f'"{key}": {json.dumps(value, ensure_ascii=False)},\n' for key, value in members.items()) + rest[1:])


def write_cross_encoder(root, name, family, activation, form, labels, prompts=None, **options):
    """`form`: where its activation stands: in config.json, as version 3 or 4 has it, or in version 6's file of its own."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.util import fullname

    folder = root / name
    folder.mkdir(parents=True)
    model = base.make_model(family, "classify", labels=labels, size=TINY, **options)
    model.save_pretrained(folder)
    base.write_config(folder, model)
    base.write_tokenizer(folder, base.VOCAB)
    ours = CrossEncoder(str(folder), device="cpu", activation_fn=activation(), max_length=40, prompts=prompts,
                        default_prompt_name=next(iter(prompts)) if prompts else None)
    if form == 6:
        with tempfile.TemporaryDirectory() as saved:
            ours.save_pretrained(saved)
            for file in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"):
                (folder / file).write_text((pathlib.Path(saved) / file).read_text())
    else:
        config = json.loads((folder / "config.json").read_text())
        path = fullname(activation())
        config.update({"sentence_transformers": {"activation_fn": path, "version": "4.1.0"}} if form == 4
                      else {"sbert_ce_default_activation_function": path})
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    loaded = CrossEncoder(str(folder), device="cpu", max_length=40)
    scores = loaded.predict(PAIRS).reshape(len(PAIRS), -1)
    prompt = prompts[next(iter(prompts))] if prompts else ""
    encoded = [loaded.tokenizer(prompt + first, second) for first, second in PAIRS]
    ids = [list(e["input_ids"]) for e in encoded]
    types = [[0] * len(row) if family in base.UNTYPED else list(e["token_type_ids"]) for row, e in zip(ids, encoded)]
    base.write_golden(folder, ids, types, base.run(model, "classify", ids, types, 0))
    add_members(folder, texts=PAIRS, scores=scores.tolist())


def write_splade(root, name, family, strategy, function, **options):
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import MLMTransformer, SpladePooling

    folder = root / name
    model = base.make_model(family, "fill", size=TINY, **options)
    with tempfile.TemporaryDirectory() as plain:
        model.save_pretrained(plain)
        base.write_tokenizer(pathlib.Path(plain), base.VOCAB)
        package = SparseEncoder(modules=[MLMTransformer(plain), SpladePooling(strategy, function)], device="cpu")
        package.save_pretrained(str(folder))
    (folder / "README.md").unlink()
    base.write_tokenizer(folder, base.VOCAB)
    loaded = SparseEncoder(str(folder), device="cpu")
    texts = [text for pair in PAIRS for text in pair]
    vectors = loaded.encode(texts, convert_to_sparse_tensor=False)
    ids = [list(loaded.tokenizer(text)["input_ids"]) for text in texts]
    base.write_golden(folder, ids, [[0] * len(row) for row in ids], vectors.tolist(), texts)


def write_static(root, name, form, seed):
    """As sentence-transformers saves it, in a folder of its own; or as model2vec does, with a mapping and weights."""
    from safetensors.torch import save_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer

    folder = root / name
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    table = torch.randn(len(base.VOCAB), 12)
    with tempfile.TemporaryDirectory() as plain:
        base.write_tokenizer(pathlib.Path(plain), base.VOCAB)
        tokenizer = Tokenizer.from_file(plain + "/tokenizer.json")
    if form == "library":
        package = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=table)], device="cpu")
        package.save(str(folder), create_model_card=False)
    else:
        mapping = torch.randint(0, 40, (len(base.VOCAB),))
        save_file({"embeddings": table[:40].half().contiguous(), "mapping": mapping, "weights": torch.rand(len(base.VOCAB)) + 0.5},
                  folder / "model.safetensors")
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        module = "sentence_transformers.models."
        (folder / "modules.json").write_text(json.dumps([
            {"idx": 0, "name": "0", "path": ".", "type": module + "StaticEmbedding"},
            {"idx": 1, "name": "1", "path": "1_Normalize", "type": module + "Normalize"}]) + "\n")
        (folder / "config.json").write_text(json.dumps({"model_type": "model2vec", "architectures": ["StaticModel"], "normalize": True}) + "\n")
    loaded = SentenceTransformer(str(folder), device="cpu")
    texts = [text for pair in PAIRS for text in pair] + ["", "zzz \u00e9 \u4e2d"]
    ids = [loaded[0].tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    base.write_golden(folder, ids, [[0] * len(row) for row in ids], loaded.encode(texts).tolist(), texts)


def setfit_logits(head, vectors):
    """What predict_proba makes probabilities of, in the order of the labels: a softmax of these, or a sigmoid of each where labels
    are independent."""
    import numpy as np

    if hasattr(head, "estimators_"):
        rows = np.stack([one.decision_function(vectors) for one in head.estimators_], axis=1)
        binarizer = getattr(head, "label_binarizer_", None)
        return rows if binarizer is None or binarizer.y_type_.startswith("multilabel") else -np.logaddexp(0, -rows)
    rows = head.decision_function(vectors)
    if rows.ndim > 1:
        return rows
    multinomial = getattr(head, "multi_class", None) == "multinomial"  # versions of scikit-learn before 1.8
    return np.stack([-rows if multinomial else 0 * rows, rows], axis=1)


def write_setfit(root, name, kind, labels=None, normalize=False, form="joblib", seed=0):
    """`kind` is the head: one regression, one per label, or one per independent label. Some texts get random labels."""
    import pickle

    import numpy as np
    from scipy.special import softmax
    from sentence_transformers import SentenceTransformer
    from setfit import SetFitModel
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.multioutput import MultiOutputClassifier

    folder, random = root / name, np.random.default_rng(seed)
    base.write_package(root, name, "bert", "mean", seed=seed, old=False, size=TINY, after=())
    body = SentenceTransformer(str(folder), device="cpu")
    train = [" ".join(random.choice(base.WORDS, 5)) for _ in range(40)]
    vectors = body.encode(train, normalize_embeddings=normalize)
    one = LogisticRegression(C=30.0)
    if kind == "binary":
        head = one.fit(vectors, np.array(["bad", "g\u00fct"])[random.integers(0, 2, len(train))])
    elif kind == "multinomial":
        head = one.fit(vectors, random.integers(0, 2, len(train)))
        head.multi_class = "multinomial"
    elif kind == "classes":
        head = one.fit(vectors, np.array([0, 2, 3])[random.integers(0, 3, len(train))])
        head.coef_ = np.asfortranarray(head.coef_)
    elif kind == "rest":
        head = OneVsRestClassifier(one).fit(vectors, random.integers(0, 3, len(train)))
    else:
        wrapper = {"independent": OneVsRestClassifier, "outputs": MultiOutputClassifier}[kind]
        head = wrapper(one).fit(vectors, random.integers(0, 2, (len(train), 3)))
    model = SetFitModel(model_body=body, model_head=head, labels=labels, normalize_embeddings=normalize)
    with tempfile.TemporaryDirectory() as saved:
        model.save_pretrained(saved)
        for file in ("model_head.pkl", "config_setfit.json"):
            (folder / file).write_bytes((pathlib.Path(saved) / file).read_bytes())
    if form != "joblib":
        (folder / "model_head.pkl").write_bytes(pickle.dumps(head, protocol=form))
    texts = [text for pair in PAIRS for text in pair]
    scores = np.asarray(SetFitModel.from_pretrained(str(folder)).predict_proba(texts, as_numpy=True))
    logits = setfit_logits(head, body.encode(texts, normalize_embeddings=normalize))
    if kind == "multinomial":  # as LogisticRegression.predict_proba did where it was asked for
        scores = softmax(logits, axis=1)
    elif scores.ndim == 3:  # of each output, for both of its classes
        scores = scores[..., 1]
    encoded = [body.tokenizer(text) for text in texts]
    base.write_golden(folder, [list(e["input_ids"]) for e in encoded], [list(e["token_type_ids"]) for e in encoded], logits.tolist(), texts)
    add_members(folder, scores=scores.tolist())


def write_unpooled(root, name, prompts, seed):
    """A package that does not pool its prompts. "prompted": a prompt's name to the vectors of "prompt_texts" with it."""
    from sentence_transformers import SentenceTransformer

    folder = root / name
    base.write_package(root, name, "distilbert", ["lasttoken", "mean", "weightedmean", "max", "mean_sqrt_len_tokens"], old=False,
                       after=(), size=TINY, seed=seed)
    pooling = folder / "1_Pooling" / "config.json"
    pooling.write_text(json.dumps({**json.loads(pooling.read_text()), "include_prompt": False}, indent=1) + "\n")
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}, indent=1) + "\n")
    loaded = SentenceTransformer(str(folder), device="cpu")
    texts = [*PAIRS[0], "", "film " * 40]
    vectors = {key: loaded.encode(texts, prompt_name=key).tolist() for key in prompts}
    add_members(folder, prompt_texts=texts, prompted={key: [[float(f"{x:.9g}") for x in row] for row in rows] for key, rows in vectors.items()})


# One row per model: its name, the function that writes it, and how.
MODELS = [
    ("cross-identity", write_cross_encoder, ("bert", torch.nn.Identity, 4, ["score"]), dict(seed=80)),
    ("cross-tanh", write_cross_encoder, ("bert", torch.nn.Tanh, 6, ["score"]),
     dict(seed=81, prompts={"query": "this is: ", "other": "that "})),
    ("package-weighted", base.write_package, ("bert", "weightedmean"), dict(seed=83, old=False, size=TINY)),
    ("package-five", base.write_package, ("distilbert", ["lasttoken", "mean", "weightedmean", "max", "mean_sqrt_len_tokens"]),
     dict(seed=84, old=False, size=TINY, after=())),
    ("package-unpooled", write_unpooled, ({"query": "this is: ", "none": "", "long": "very good film " * 20},), dict(seed=96)),
    ("splade-max", write_splade, ("distilbert", "max", "relu"), dict(seed=85)),
    ("splade-sum", write_splade, ("bert", "sum", "relu"), dict(seed=86)),
    ("splade-twice", write_splade, ("distilbert", "max", "log1p_relu"), dict(seed=87)),
    ("static-library", write_static, ("library",), dict(seed=88)),
    ("static-model2vec", write_static, ("model2vec",), dict(seed=89)),
    ("cross-labels", write_cross_encoder, ("distilbert", torch.nn.Sigmoid, 3, ["no", "yes"]), dict(seed=82)),
    ("setfit-binary", write_setfit, ("binary",), dict(seed=90, normalize=True)),
    ("setfit-classes", write_setfit, ("classes", ["a", "b", "c", "d"]), dict(seed=91, form=3)),
    ("setfit-rest", write_setfit, ("rest", ["x", "y", "z"]), dict(seed=92, form=5)),
    ("setfit-independent", write_setfit, ("independent", ["x", "y", "z"]), dict(seed=93, normalize=True)),
    ("setfit-outputs", write_setfit, ("outputs",), dict(seed=94, form=4)),
    ("setfit-multinomial", write_setfit, ("multinomial",), dict(seed=95)),
]


def write_all(root, names=()):
    for name, write, arguments, options in MODELS:
        if not names or name in names:
            write(root, name, *arguments, **options)


if __name__ == "__main__":
    write_all(pathlib.Path(sys.argv[1]), sys.argv[2:])
