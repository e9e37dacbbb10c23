# SPDX-License-Identifier: Apache-2.0
"""sentiment.retort lies beside this file; retort_cpu.Model("sentiment") finds it."""
