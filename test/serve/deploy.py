#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The files of deploy/: what Compose, Helm, Kubernetes and KServe check of them, by the schemas that tools/clients and tools/helm
install; and their options, probes and commands with a server on loopback. Prints TAP.

    deploy.py RETORT SOURCE_ROOT EXAMPLES_FOLDER
"""
import ast
import contextlib
import functools
import glob
import importlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
from server import RETORT, TIMEOUT, Server, Skip, main, model, test

DEPLOY = pathlib.Path(sys.argv[2]) / "deploy"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "retort"
SITE = next(map(pathlib.Path, glob.glob(f"{CACHE}/clients/lib/python3*/site-packages")), pathlib.Path("nowhere"))
sys.path.append(str(SITE))
KUBERNETES = "1.30"
MODEL = "distilbert-classify"


def module(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Skip(f"{error}: run tools/clients") from None


def documents(text):
    return list(module("yaml").safe_load_all(text))


def helm(*values):
    """The chart as Kubernetes gets it: objects by kind."""
    program = shutil.which("helm") or shutil.which("helm", path=CACHE / "helm")
    if program is None:
        raise Skip("no helm: run tools/helm")
    done = subprocess.run([program, "template", "test", DEPLOY / "helm", *values], capture_output=True, text=True, timeout=TIMEOUT)
    if done.returncode != 0:
        raise ValueError(done.stderr)
    return {found["kind"]: found for found in documents(done.stdout)}


def serves(arguments, paths, request="/predict"):
    """Starts the server with these words after `serve`, their models, address and port replaced, and asks each path."""
    words = [re.sub(r"(=|^)(/mnt/models/|/models/|sentiment$).*", rf"\1{model(MODEL)}", a).replace("{{.Name}}", MODEL) for a in arguments]
    words = [w for at, w in enumerate(words) if not w.startswith(("--host", "--port")) and words[at - 1] != "--host"]
    assert words != arguments and any(model(MODEL) in w for w in words), words
    with Server(*words) as server:
        for path in paths:
            assert server.send("GET", path)[0] == 200, path
        answer = server.send("POST", request, {"inputs": "good"} if request == "/predict" else
                             {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}]})
        assert answer[0] == 200, answer
        yield server


def probes(container):
    return [container[kind]["httpGet"]["path"] for kind in ("startupProbe", "readinessProbe", "livenessProbe")]


# ---- Schemas ----


@functools.lru_cache
def definitions():
    """Schemas of Kubernetes by name, io.k8s.api.apps.v1.Deployment; fields they do not know are refused."""
    folder = pathlib.Path(module("kubernetes_validate").__file__).parent / "kubernetes-json-schema"
    return json.loads((folder / f"v{KUBERNETES}.0-local-strict/_definitions.json").read_text())["$defs"]


def validate_as(found, name):
    module("jsonschema").Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": definitions()}).validate(found)


def validate(found):
    """A Kubernetes object against the schema of its kind."""
    group = found["apiVersion"] if "/" in found["apiVersion"] else f"core/{found['apiVersion']}"
    validate_as(found, f"io.k8s.api.{group.replace('/', '.')}.{found['kind']}")


def refused(function, found, words):
    try:
        function(found)
    except Exception as error:  # of jsonschema, or ours
        assert words in str(error), f"{error} does not say {words!r}"
        return
    raise AssertionError(f"{words!r} was not refused")


@contextlib.contextmanager
def changed(found, *path):
    """The object with an unknown field at a path of keys, for a moment."""
    for key in path:
        found = found[key]
    found["unknown"] = 1
    yield
    del found["unknown"]


class KServe:
    """Objects of KServe against the types that its Python package declares; what those take from Kubernetes, against its schema."""

    def __init__(self):
        if not (SITE / "kserve/models").is_dir():
            raise Skip("no package kserve: run tools/clients")

    def declared(self, kind):
        """{JSON key: type} and the keys that must be there; None: not a type of KServe."""
        path = SITE / "kserve/models" / (re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower() + ".py")
        if not path.exists():
            return None
        source = path.read_text()
        tables = {node.targets[0].id: ast.literal_eval(node.value) for c in ast.parse(source).body if isinstance(c, ast.ClassDef)
                  for node in c.body if isinstance(node, ast.Assign)}
        keys = tables["attribute_map"]
        needed = {keys[name] for name in re.findall(r"Invalid value for `(\w+)`, must not be `None`", source)}
        return {keys[name]: kind for name, kind in tables["openapi_types"].items()}, needed

    def check(self, found, kind, where=""):
        where = where or found.get("kind", "")
        if m := re.fullmatch(r"(list\[|dict\(str, )(.*)[\])]", kind):
            items = enumerate(found) if m[1] == "list[" else found.items()
            return [self.check(item, m[2], f"{where}.{at}") for at, item in items]
        if kind in ("str", "int", "bool", "float", "object"):
            wanted = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object}[kind]
            assert isinstance(found, wanted), f"{where}: expected {kind}, found {found!r}"
            return None
        declared = self.declared(kind)
        if declared is None:
            return self.check_kubernetes(found, kind, where)
        fields, needed = declared
        assert set(found) <= set(fields), f"{where}: {kind} has no {', '.join(set(found) - set(fields))}"
        assert needed <= set(found), f"{where}: {kind} needs {', '.join(needed - set(found))}"
        return [self.check(value, fields[key], f"{where}.{key}") for key, value in found.items()]

    def check_kubernetes(self, found, kind, where):
        plain = re.sub(r"^V1", "", kind)
        name = next((n for n in (f"io.k8s.api.core.v1.{plain}", f"io.k8s.apimachinery.pkg.apis.meta.v1.{plain}") if n in definitions()), None)
        assert name is not None, f"{where}: no schema of {kind}"
        validate_as(found, name)


@test
def compose_file():
    schema = SITE / "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
    if not schema.exists():
        raise Skip("no schema of Compose: run tools/clients")
    found = documents((DEPLOY / "compose.yaml").read_text())[0]

    def check(found):
        module("jsonschema").validate(found, json.loads(schema.read_text()))

    check(found)
    with changed(found, "services", "retort"):
        refused(check, found, "unknown")
    service, load = found["services"]["retort"], found["services"]["load"]
    assert service["build"]["dockerfile"] == "deploy/Containerfile" and (DEPLOY / service["build"]["context"] / "deploy/Containerfile").exists()
    entry = json.loads(re.search(r"^ENTRYPOINT (.*)$", (DEPLOY / "Containerfile").read_text(), re.M)[1])
    assert entry[:2] == ["/usr/bin/retort", "serve"] and load["entrypoint"] == ["/usr/bin/retort", "load"]
    for server in serves(entry[2:] + service["command"], ["/health/ready"]):
        port = server.url.rsplit(":", 1)[1]
        health = [word.replace("$$", "$").replace("/8080", f"/{port}") for word in service["healthcheck"]["test"][1:]]
        assert subprocess.run(health, timeout=TIMEOUT).returncode == 0
        words = [word.replace("retort:8080", f"127.0.0.1:{port}") for word in load["command"]]
        words[words.index("--duration") + 1] = "1"
        done = subprocess.run([RETORT, "load", *words, "--json"], capture_output=True, text=True, timeout=TIMEOUT)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["errors"] == 0, done.stdout
        server.stop()
        assert subprocess.run(health, timeout=TIMEOUT, stderr=subprocess.DEVNULL).returncode != 0


@test
def helm_chart():
    plain = helm()
    own = helm("--set", "models={/models/a.retort},modelVolume.persistentVolumeClaim.claimName=models,apiKeysSecret=keys",
               "--set", "arguments={--max-queue-tokens=1000}")
    for found in (*plain.values(), *own.values()):
        validate(found)
    assert set(plain) == {"Deployment", "Service", "PodDisruptionBudget"}
    with changed(plain["Deployment"], "spec", "template", "spec", "containers", 0):
        refused(validate, plain["Deployment"], "unknown")
    refused(lambda values: helm("--set", values), "replica=3", "replica")
    refused(lambda values: helm("--set", values), "cpus=0", "cpus")
    pod = own["Deployment"]["spec"]["template"]["spec"]
    assert [v["name"] for v in pod["volumes"]] == [m["name"] for m in pod["containers"][0]["volumeMounts"]] == ["models", "keys"]
    assert "--api-keys=/keys/keys" in pod["containers"][0]["args"]
    assert pod["terminationGracePeriodSeconds"] > 30
    labels = plain["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert all(found["spec"]["selector"].get("matchLabels", found["spec"]["selector"]) == labels for found in plain.values())
    container = plain["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    arguments = [*container["args"], *pod["containers"][0]["args"][-1:]]
    for server in serves(arguments, probes(container)):
        assert server.metric("retort_requests_total") > 0


@test
def kserve_runtime():
    checker = KServe()
    runtime, service = documents((DEPLOY / "kserve.yaml").read_text())
    for found, kind in ((runtime, "V1alpha1ClusterServingRuntime"), (service, "V1beta1InferenceService")):
        checker.check(found, kind)
        with changed(found, "spec"):
            refused(lambda it, kind=kind: checker.check(it, kind), found, "unknown")
    with changed(runtime, "spec", "containers", 0, "resources"):
        refused(lambda it: checker.check(it, "V1alpha1ClusterServingRuntime"), runtime, "unknown")
    assert service["spec"]["predictor"]["model"]["runtime"] == runtime["metadata"]["name"]
    container = runtime["spec"]["containers"][0]
    for _ in serves(container["args"], probes(container), f"/v2/models/{MODEL}/infer"):
        pass


main()
