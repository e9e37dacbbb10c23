# SPDX-License-Identifier: Apache-2.0
"""DuckDB: with_duckdb.py MODEL IN.parquet OUT.parquet answers the column `text` in SQL."""
import sys

import duckdb
import pyarrow
from retort_cpu import Model

if len(sys.argv) != 4:
    print("usage: with_duckdb.py MODEL IN.parquet OUT.parquet", file=sys.stderr)
    sys.exit(2)

model = Model(sys.argv[1], threads=1)  # the threads are DuckDB's


def sentiment(texts):
    answers = [pyarrow.array(chunk) for chunk in model.predict_arrow(texts)]
    return pyarrow.chunked_array([answer.cast(pyarrow.struct({"label": "string", "score": "float"})) for answer in answers])


duckdb.create_function("sentiment", sentiment, ["VARCHAR"], "STRUCT(label VARCHAR, score FLOAT)", type="arrow")
duckdb.execute(f"COPY (SELECT *, unnest(sentiment(text)) FROM '{sys.argv[2]}') TO '{sys.argv[3]}'")
