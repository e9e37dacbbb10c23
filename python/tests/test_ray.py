# SPDX-License-Identifier: Apache-2.0
"""deploy/ray_serve.py in Ray Serve on loopback. RETORT_RAY_PYTHON names a Python that has ray[serve], if this one has not."""
import json
import os
import socket
import subprocess
import sys

from harness import ROOT, Skip, file, main, test

from retort_cpu import Model

RAY = """
import json, sys, urllib.error, urllib.request
from concurrent.futures import ThreadPoolExecutor
import ray
from ray import serve
folder, model, port, words = sys.argv[1:]
sys.path.insert(0, folder)
from ray_serve import app
ray.init(num_cpus=4, _node_ip_address="127.0.0.1", include_dashboard=False, log_to_driver=False, logging_level="error")
serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
serve.run(app({"model": model, "replicas": "2"}))

def post(inputs):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", json.dumps(inputs).encode(), 60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)

with ThreadPoolExecutor(16) as pool:
    answers = list(pool.map(post, json.loads(words)))
serve.shutdown()
ray.shutdown()
print(json.dumps(answers))
"""


@test
def ray_serve():
    python = os.environ.get("RETORT_RAY_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import ray.serve, retort_cpu"], capture_output=True).returncode != 0:
        raise Skip("no Ray: RETORT_RAY_PYTHON names a Python with ray[serve]")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    texts = [["good film"], ["bad", "good"], ["the plot is thin", "a", "b"]]
    requests = [{"inputs": texts[n % 3]} for n in range(60)] + [{"inputs": "good"}, {"input": "good"}, {"inputs": [1]}]
    done = subprocess.run([python, "-c", RAY, ROOT / "deploy", file("bert-classify"), str(port), json.dumps(requests)],
                          capture_output=True, text=True, timeout=540,  # some 60 s of CPU time to start
                          env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120", "RAY_worker_niceness": "0"})
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    model = Model(file("bert-classify"), threads=1)
    for request, (status, answer) in zip(requests[:61], answers):
        inputs = request["inputs"]
        wanted = [found[0] for found in model.classify([inputs] if isinstance(inputs, str) else inputs)]
        assert status == 200 and answer == wanted, (request, status, answer, wanted)
    assert [status for status, _ in answers[61:]] == [400, 422], answers[61:]


main()
