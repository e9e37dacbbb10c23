# SPDX-License-Identifier: Apache-2.0
"""The structs and constants of the binding against the compiler's: test_layout.py LAYOUT, the program that prints them."""
import ctypes
import subprocess
import sys

from harness import main, raises, test

import retort_cpu
from retort_cpu import Error, _library, _retort


def told():
    lines = subprocess.run([sys.argv[1]], capture_output=True, text=True, check=True).stdout.splitlines()
    return [(line.split()[0], *map(int, line.split()[1:])) for line in lines]


@test
def structs_lie_as_the_compiler_lays_them():
    fields = 0
    for name, *numbers in told():
        struct, _, field = name.partition(".")
        if field:
            here = getattr(getattr(_retort, struct), field)
            assert numbers == [here.offset, here.size], f"{name}: {numbers}, here {here.offset}, {here.size}"
            fields += 1
        elif name.startswith("retort_"):
            assert numbers == [ctypes.sizeof(getattr(_retort, name))], name
    assert fields > 250, fields


@test
def constants_are_the_headers():
    constants = [row for row in told() if row[0].startswith("RETORT_")]
    assert len(constants) > 50
    for name, value in constants:
        assert getattr(_retort, name) == value, name


@test
def another_size_is_refused():
    model = ctypes.c_void_p()
    options = _library.struct("load_options")
    options.size = 4096
    error = raises(Error, "retort_load_options has 4096 bytes in the program", _library.call, _library.lib.retort_model_load_with, model,
                   b"no.retort", options)
    assert error.status == "ARGUMENT"


@test
def unknown_fields_are_named():
    raises(TypeError, "load_options has no 'memry'; it has memory", _library.struct, "load_options", memry=1)


@test
def stubs_name_what_there_is():
    """Parameters of each function and method in the stubs are those of the code."""
    import ast
    import inspect
    import pathlib

    def parsed(name):
        return ast.parse(pathlib.Path(retort_cpu.__file__).with_name(name).read_text())

    def check(owner, node):
        wanted = [a.arg for a in node.args.args + node.args.kwonlyargs]
        found = [p.name for p in inspect.signature(getattr(owner, node.name)).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        assert wanted == found, f"{node.name}: the stub has {wanted}, the code {found}"

    stub = parsed("__init__.pyi")
    functions = [node for node in stub.body if isinstance(node, ast.FunctionDef)]
    assert {f.name for f in functions} | {c.name for c in stub.body if isinstance(c, ast.ClassDef)} == {*retort_cpu.__all__}
    for node in functions:
        check(retort_cpu, node)
    methods = next(c for c in stub.body if isinstance(c, ast.ClassDef) and c.name == "Model").body
    methods = [m for m in methods if isinstance(m, ast.FunctionDef) and not m.name.startswith("__") and
               not any(getattr(d, "id", "") == "property" for d in m.decorator_list)]
    assert {m.name for m in methods} == {n for n, m in vars(retort_cpu.Model).items() if inspect.isfunction(m) and not n.startswith("_")}
    for node in methods:
        check(retort_cpu.Model, node)
    try:
        from retort_cpu.sklearn import RetortClassifier
    except ImportError:
        return  # no scikit-learn
    methods = [m for m in next(c for c in parsed("sklearn.pyi").body if isinstance(c, ast.ClassDef)).body if isinstance(m, ast.FunctionDef)]
    assert {m.name for m in methods} == {n for n, m in vars(RetortClassifier).items() if inspect.isfunction(m) and n != "_texts" and
                                         not n.startswith("set_")}
    for node in methods:
        check(RetortClassifier, node)


main()
