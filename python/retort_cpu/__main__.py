# SPDX-License-Identifier: Apache-2.0
"""The command `retort` of the wheel: becomes the program that lies in the package, and reads Parquet and Arrow
files itself."""
import os
import signal
import sys

from ._formats import is_ours


def program():
    """The path of the program."""
    from pathlib import Path
    return os.environ.get("RETORT_CPU_COMMAND") or str(Path(__file__).resolve().parent / "retort")


def environment():
    """This one, and where shipped models lie: models of the packages retort_cpu_NAME are found by NAME."""
    from importlib.util import find_spec
    spec = find_spec("retort_cpu_sentiment")
    found = list(spec.submodule_search_locations or ()) if spec is not None else []
    folders = [f for f in (os.environ.get("RETORT_MODELS"), *found) if f]
    return {**os.environ, "RETORT_MODELS": ":".join(folders)} if folders else dict(os.environ)


def main():
    interrupted = signal.getsignal(signal.SIGINT)
    if interrupted is signal.default_int_handler:  # until the work begins, Ctrl-C ends the process as it ends the program
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if is_ours(sys.argv[1:]):
        from ._command import command
        signal.signal(signal.SIGINT, interrupted)
        sys.exit(command(sys.argv[1:]))
    try:
        os.execve(program(), ["retort", *sys.argv[1:]], environment())
    except OSError as error:
        sys.exit(f"retort: {program()}: {error.strerror}")


if __name__ == "__main__":
    main()
