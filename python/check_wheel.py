#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: python/check_wheel.py WHEEL [MODEL.retort TEXT]

Checks a wheel: its tag, its size (below 2.5 MB), that its files need no glibc newer than 2.28 and no other library, and, with a
model, that an environment of its own can classify the text and run the command."""
import os
import re
import subprocess
import sys
import tempfile
import venv
import zipfile

MOST = 2_500_000
SYSTEM = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "ld-linux-x86-64.so.2", "libretort.so"}


def check(fine, what):
    print(("ok   " if fine else "WRONG"), what)
    return fine


def check_file(path):
    dump = subprocess.run(["objdump", "-p", path], capture_output=True, text=True, check=True).stdout
    needed = set(re.findall(r"NEEDED\s+(\S+)", dump))
    versions = sorted({tuple(map(int, v.split("."))) for v in re.findall(r"GLIBC_([0-9.]+)", dump)})
    name = os.path.basename(path)
    return check(needed <= SYSTEM, f"{name} needs {', '.join(sorted(needed))}") & \
        check(versions[-1] <= (2, 28), f"{name} needs glibc {'.'.join(map(str, versions[-1]))}")


def check_use(wheel, model, text, folder):
    venv.create(folder, with_pip=True)
    python = os.path.join(folder, "bin/python")
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel], check=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RETORT", "PYTHON"))}
    code = "import sys, retort_cpu; print(retort_cpu.Model(sys.argv[1]).classify(sys.argv[2])[0])"
    said = subprocess.run([python, "-c", code, model, text], capture_output=True, text=True, env=environment, cwd=folder)
    ran = subprocess.run([os.path.join(folder, "bin/retort"), "run", model, text], capture_output=True, text=True, env=environment, cwd=folder)
    return check(said.returncode == 0, f"the module says {said.stdout.strip()} {said.stderr.strip()}") & \
        check(ran.returncode == 0 and f"{ran.stdout.split()[0]!r}" in said.stdout, f"the command says {ran.stdout.split()} {ran.stderr.strip()}")


def main():
    if len(sys.argv) not in (2, 4):
        sys.exit(__doc__)
    wheel = os.path.abspath(sys.argv[1])
    fine = check(re.search(r"-py3-none-manylinux_2_28_x86_64\.whl$", wheel) is not None, os.path.basename(wheel))
    fine &= check(os.path.getsize(wheel) < MOST, f"{os.path.getsize(wheel)} bytes, most {MOST}")
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(os.path.join(folder, "wheel"))
        for name in ("libretort.so", "retort"):
            fine &= check_file(os.path.join(folder, "wheel/retort_cpu", name))
        if len(sys.argv) == 4:
            fine &= check_use(wheel, os.path.abspath(sys.argv[2]), sys.argv[3], os.path.join(folder, "venv"))
    sys.exit(not fine)


if __name__ == "__main__":
    main()
