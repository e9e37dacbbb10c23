# SPDX-License-Identifier: Apache-2.0
"""Polars: with_polars.py MODEL IN.parquet OUT.parquet answers the column `text`."""
import sys

import polars
from retort_cpu import Model

if len(sys.argv) != 4:
    print("usage: with_polars.py MODEL IN.parquet OUT.parquet", file=sys.stderr)
    sys.exit(2)

model = Model(sys.argv[1])
rows = polars.scan_parquet(sys.argv[2])


def answer(frame):
    return frame.hstack(polars.DataFrame(model.predict_arrow(frame, "text")).cast({"label": polars.String}))


schema = {**rows.collect_schema(), "label": polars.String, "score": polars.Float32}
rows.map_batches(answer, schema=schema, streamable=True).sink_parquet(sys.argv[3])
