# SPDX-License-Identifier: Apache-2.0
"""Hugging Face datasets: with_datasets.py MODEL IN.parquet OUT.parquet answers the column `text`."""
import sys

import pyarrow
from datasets import load_dataset
from retort_cpu import Model

if len(sys.argv) != 4:
    print("usage: with_datasets.py MODEL IN.parquet OUT.parquet", file=sys.stderr)
    sys.exit(2)

model = Model(sys.argv[1])


def answer(table):
    answers = pyarrow.table(model.predict_arrow(table, "text"))
    return pyarrow.table({**dict(zip(table.column_names, table.columns)), "label": answers["label"].cast("string"), "score": answers["score"]})


rows = load_dataset("parquet", data_files=sys.argv[2], split="train").with_format("arrow")
rows.map(answer, batched=True, batch_size=10000).to_parquet(sys.argv[3])
