# SPDX-License-Identifier: Apache-2.0
"""Ray Data: with_ray.py MODEL IN.parquet OUT_FOLDER answers the column `text` with two actors."""
import sys

import pyarrow
import ray
from retort_cpu import Model

if len(sys.argv) != 4:
    print("usage: with_ray.py MODEL IN.parquet OUT_FOLDER", file=sys.stderr)
    sys.exit(2)


class Classifier:
    def __init__(self, path):
        self.model = Model(path, threads=1)  # the actors are the parallelism

    def __call__(self, table):
        answers = pyarrow.table(self.model.predict_arrow(table, "text"))
        return table.append_column("label", answers["label"].cast("string")).append_column("score", answers["score"])


rows = ray.data.read_parquet(sys.argv[2])
actors = ray.data.ActorPoolStrategy(size=2)  # reading and writing need a CPU, too: on two CPUs, these leave them one
answered = rows.map_batches(Classifier, fn_constructor_args=[sys.argv[1]], batch_format="pyarrow", batch_size=4096, compute=actors, num_cpus=0.5)
answered.write_parquet(sys.argv[3])
