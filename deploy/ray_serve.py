# SPDX-License-Identifier: Apache-2.0
"""retort in Ray Serve, in its replicas and without a server of its own:

    pip install "ray[serve]" retort-cpu
    serve run deploy.ray_serve:app model=/models/model.retort replicas=4
    curl -s localhost:8000 -d '{"inputs": ["a charming film", "two hours that I want back"]}'

Each replica has one CPU and one thread; replicas of a machine share the pages of the file. Texts of requests that are in flight
together make one batch: of what is waiting when the last one ends, without a delay.
"""
import asyncio

from ray import serve
from retort_cpu import Error, Model
from starlette.responses import JSONResponse


@serve.deployment(ray_actor_options={"num_cpus": 1}, max_ongoing_requests=64)
class Classifier:
    def __init__(self, model):
        self.model = Model(model, threads=1)

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0)
    async def batch(self, requests):
        """The answers to the texts of each request."""
        texts = [text for request in requests for text in request]
        answers = iter(await asyncio.to_thread(self.model.classify, texts))
        return [[next(answers)[0] for _ in request] for request in requests]

    async def __call__(self, request):
        try:
            inputs = (await request.json())["inputs"]
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": 'expected {"inputs": text or list of texts}'}, 400)
        texts = [inputs] if isinstance(inputs, str) else inputs
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            return JSONResponse({"error": "inputs: expected a text or a list of texts"}, 422)
        try:
            return await self.batch(texts)
        except Error as error:
            return JSONResponse({"error": str(error)}, 500)

    def check_health(self):
        self.model.classify("")


def app(arguments):
    """model: what Model takes; replicas: how many."""
    return Classifier.options(num_replicas=int(arguments.get("replicas", 1))).bind(arguments["model"])
