# SPDX-License-Identifier: Apache-2.0
"""Spark's predict_batch_udf: with_spark_udf.py MODEL IN.parquet OUT_FOLDER adds the scores of all labels of the column `text`."""
import os
import sys

from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import SparkSession
from pyspark.sql.types import ArrayType, FloatType
from retort_cpu import Model

if len(sys.argv) != 4:
    print("usage: with_spark_udf.py MODEL IN.parquet OUT_FOLDER", file=sys.stderr)
    sys.exit(2)

path = sys.argv[1]


def make():
    model = Model(path)
    return lambda texts: model.scores(texts.tolist())


os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # of the workers
spark = SparkSession.builder.master("local[2]").getOrCreate()
scores = predict_batch_udf(make, return_type=ArrayType(FloatType()), batch_size=1024)
rows = spark.read.parquet(sys.argv[2])
rows.withColumn("scores", scores("text")).write.parquet(sys.argv[3])
