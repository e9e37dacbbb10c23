# SPDX-License-Identifier: Apache-2.0
"""pandas: with_pandas.py MODEL IN.parquet OUT.parquet answers the column `text`."""
import sys

import pandas
import pyarrow
from retort_cpu import Model

model = Model(sys.argv[1])
frame = pandas.read_parquet(sys.argv[2])
answers = pyarrow.table(model.predict_arrow(pyarrow.table(frame), "text"))
frame.join(answers.to_pandas()).to_parquet(sys.argv[3])
