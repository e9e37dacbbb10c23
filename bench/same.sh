#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: bench/same.sh OLD NEW [--quick]: bench/same.py says what it compares.
exec python3 "$(dirname "$0")/same.py" "$@"
