# SPDX-License-Identifier: Apache-2.0
"""pandas: with_pandas.py MODEL IN.parquet OUT.parquet answers the column `text`."""
import sys

import pandas
import pyarrow
from retort_cpu import Model

if len(sys.argv) != 4:
    print("usage: with_pandas.py MODEL IN.parquet OUT.parquet", file=sys.stderr)
    sys.exit(2)

model = Model(sys.argv[1])
frame = pandas.read_parquet(sys.argv[2])
answers = pyarrow.table(model.predict_arrow(pyarrow.table(frame), "text")).to_pandas()
frame.join(answers.set_index(frame.index)).to_parquet(sys.argv[3])
