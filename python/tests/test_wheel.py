# SPDX-License-Identifier: Apache-2.0
"""What the wheel promises, asked of the ordinary build: the wheel itself takes minutes (tools/wheel)."""
import os
import re
import subprocess

from harness import ROOT, Skip, main, test

OLDEST = (2, 28)


def newer_functions(path):
    """Functions that a file takes from a glibc later than OLDEST."""
    said = subprocess.run(["nm", "-D", "--undefined-only", "--with-symbol-versions", path], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"\b(\w+)@GLIBC_(\d+)\.(\d+)", said)
    assert found, f"{path} names no version of glibc"
    return {name for name, *version in found if tuple(map(int, version)) > OLDEST}


@test
def what_a_later_glibc_brought_is_bound_to_an_older_one():
    if os.uname().machine not in ("x86_64", "aarch64"):
        raise Skip(f"no wheel for {os.uname().machine}")
    pinned = re.findall(r"^PIN\((\w+),", (ROOT / "python/glibc/pins.h").read_text(), re.M)
    written = re.findall(r"^int (?:__wrap_)?(\w+)\(", (ROOT / "python/glibc/glibc.c").read_text(), re.M)
    for path in (os.environ["RETORT_CPU_LIBRARY"], os.environ["RETORT_CPU_COMMAND"]):
        missing = newer_functions(path) - {*pinned, *written}
        assert not missing, f"{path}: {', '.join(sorted(missing))} came after glibc 2.28: bind each in python/glibc/pins.h"


main()
