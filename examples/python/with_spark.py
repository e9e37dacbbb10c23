# SPDX-License-Identifier: Apache-2.0
"""Spark: with_spark.py MODEL IN.parquet OUT_FOLDER answers the column `text`; a session has spark.task.cpus threads."""
import os
import sys

import pyarrow
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType
from retort_cpu import Model

if len(sys.argv) != 4:
    print("usage: with_spark.py MODEL IN.parquet OUT_FOLDER", file=sys.stderr)
    sys.exit(2)

path = sys.argv[1]


def answer(batches):
    model = Model(path)
    for batch in batches:
        answers = pyarrow.table(model.predict_arrow(batch, "text"))
        table = pyarrow.Table.from_batches([batch]).append_column("label", answers["label"].cast("string"))
        yield from table.append_column("score", answers["score"]).to_batches()


os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # of the workers
spark = SparkSession.builder.master("local[2]").getOrCreate()
rows = spark.read.parquet(sys.argv[2])
schema = StructType(list(rows.schema)).add("label", "string").add("score", "float")
rows.mapInArrow(answer, schema).write.parquet(sys.argv[3])
