#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: python/check_wheel.py [--root FOLDER] WHEEL [MODEL.retort TEXT]

Checks a wheel: its tag, its size (below 2.5 MB), that its files need no glibc newer than 2.28 and no other library, and, with a
model, that an environment of its own can classify the text and run the command. A wheel for 64-bit Arm runs on another CPU
under qemu-user in the folder that tools/arm64_root makes."""
import argparse
import glob
import os
import platform
import re
import subprocess
import sys
import tempfile
import venv
import zipfile

MOST = 2_500_000
SYSTEM = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libretort.so"}
CODE = "import sys, retort_cpu; print(retort_cpu.Model(sys.argv[1]).classify(sys.argv[2])[0])"
PIP = ["-m", "pip", "install", "-q", "--disable-pip-version-check"]


def check(fine, what):
    print(("ok   " if fine else "WRONG"), what)
    return fine


def check_file(path):
    said = subprocess.run(["readelf", "-W", "-d", "-V", path], capture_output=True, text=True, check=True).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(\S+)\]", said))
    newest = max(tuple(map(int, v.split("."))) for v in re.findall(r"GLIBC_([0-9.]+)", said))
    name = os.path.basename(path)
    return check(needed <= SYSTEM, f"{name} needs {', '.join(sorted(needed))}") & \
        check(newest <= (2, 28), f"{name} needs glibc {'.'.join(map(str, newest))}")


def installed(wheel, folder):
    """(what starts Python, what starts the command, their environment) of a new environment with the wheel."""
    venv.create(folder, with_pip=True)
    subprocess.run([f"{folder}/bin/python", *PIP, wheel], check=True)
    return [f"{folder}/bin/python"], [f"{folder}/bin/retort"], {}


def unpacked(wheel, root, folder):
    """The same for another CPU: packages in a folder, under qemu-user."""
    python = glob.glob(f"{root}/usr/bin/python3.*")[0]
    version, arch = python.rpartition("python")[2], wheel.rpartition("_28_")[2][:-len(".whl")]
    subprocess.run([sys.executable, *PIP, "--target", folder, "--only-binary=:all:", "--python-version", version,
                    *(f"--platform=manylinux_2_{n}_{arch}" for n in (28, 17)), wheel], check=True)
    qemu = [f"qemu-{arch}", "-L", root]
    return [*qemu, python], [*qemu, f"{folder}/retort_cpu/retort"], {"PYTHONPATH": folder, "PYTHONHOME": f"{root}/usr"}


def check_use(model, text, python, command, more):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RETORT", "PYTHON"))} | more
    said = subprocess.run([*python, "-c", CODE, model, text], capture_output=True, text=True, env=environment, cwd="/")
    ran = subprocess.run([*command, "run", model, text], capture_output=True, text=True, env=environment, cwd="/")
    return check(said.returncode == 0, f"the module says {said.stdout.strip()} {said.stderr.strip()}") & \
        check(ran.returncode == 0 and f"{ran.stdout.split()[0]!r}" in said.stdout, f"the command says {ran.stdout.split()} {ran.stderr.strip()}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__.partition("\n")[0][7:], description=__doc__.partition("\n\n")[2])
    parser.add_argument("--root", type=os.path.abspath)
    parser.add_argument("wheel", type=os.path.abspath)
    parser.add_argument("use", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if len(options.use) not in (0, 2):
        parser.error("a model needs a text")
    wheel = options.wheel
    arch = "aarch64" if options.root else platform.machine()
    fine = check(wheel.endswith(f"-py3-none-manylinux_2_28_{arch}.whl"), os.path.basename(wheel))
    fine &= check(os.path.getsize(wheel) < MOST, f"{os.path.getsize(wheel)} bytes, most {MOST}")
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(f"{folder}/wheel")
        for name in ("libretort.so", "retort"):
            fine &= check_file(f"{folder}/wheel/retort_cpu/{name}")
        if options.use:
            ready = unpacked(wheel, options.root, f"{folder}/site") if options.root else installed(wheel, f"{folder}/venv")
            fine &= check_use(os.path.abspath(options.use[0]), options.use[1], *ready)
    sys.exit(not fine)


if __name__ == "__main__":
    main()
