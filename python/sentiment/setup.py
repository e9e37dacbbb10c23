# SPDX-License-Identifier: Apache-2.0
"""Copies the model that comes with retort into the package."""
import pathlib
import shutil

from setuptools import setup

HERE = pathlib.Path(__file__).resolve().parent
shutil.copy(HERE.parents[1] / "models/sentiment.retort", HERE / "retort_cpu_sentiment")
setup()
