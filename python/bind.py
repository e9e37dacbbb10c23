#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bind.py HEADER: prints a Python module with the structs, constants and functions of retort.h for ctypes.
bind.py HEADER --layout: prints a C program that prints the same structs as the compiler lays them out.

It knows the C of that header and no more; a declaration that it cannot read is an error."""
import re
import sys

PLAIN = {"bool": "c_bool", "int": "c_int", "float": "c_float", "double": "c_double", "size_t": "c_size_t", "char": "c_char",
         "uint8_t": "c_uint8", "int32_t": "c_int32", "uint32_t": "c_uint32", "int64_t": "c_int64", "uint64_t": "c_uint64"}


class Header:
    def __init__(self, text):
        text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
        self.statuses = re.findall(r"X\((\w+), (-?\d+), \"[^\"]*\"\)", text)
        text = text.replace("\\\n", " ")
        self.version = [int(n) for n in re.findall(r"#define RETORT_VERSION_\w+ (\d+)", text)]
        text = re.sub(r"^ *#.*$", "", text, flags=re.M)
        text = text.replace('extern "C" {', "")
        self.enums, self.structs, self.callbacks, self.functions, self.opaque = {}, {}, {}, {}, set()
        statements = list(self.statements(text))
        for s in statements:  # names first: a struct may point to a later one
            if m := re.fullmatch(r"typedef struct (\w+) \{.*\} \1", s):
                self.structs[m[1]] = []
        for s in statements:
            self.read(s)

    @staticmethod
    def statements(text):
        """What ends with a semicolon outside of braces."""
        depth, start = 0, 0
        for i, c in enumerate(text):
            depth += (c == "{") - (c == "}" and depth > 0)
            if c == ";" and depth == 0:
                yield re.sub(r"\s+", " ", text[start:i]).strip()
                start = i + 1

    def read(self, s):
        if m := re.fullmatch(r"typedef enum (\w+) \{(.*)\} \1", s):
            self.enums[m[1]] = self.constants(m[1], m[2])
        elif m := re.fullmatch(r"typedef struct (\w+) \{(.*)\} \1", s):
            self.structs[m[1]] = [f for line in m[2].split(";") if line.strip() for f in self.fields(line.strip())]
        elif m := re.fullmatch(r"typedef struct (\w+) \1", s):
            self.opaque.add(m[1])
        elif m := re.fullmatch(r"typedef (\w+) \(\*(\w+)\)\((.*)\)", s):
            self.callbacks[m[2]] = self.callback(m[1], m[3])
        elif m := re.fullmatch(r"RETORT_API (.*?)(\w+)\((.*)\)", s):
            arguments = [] if m[3] == "void" else [self.argument(a) for a in m[3].split(", ")]
            self.functions[m[2]] = (self.type_of(m[1].strip(), True), arguments)
        else:
            raise SystemExit(f"bind.py: cannot read: {s}")

    def constants(self, name, body):
        if name == "retort_status":
            return [(f"RETORT_{n}", int(v)) for n, v in self.statuses]
        values, at = [], 0
        for item in filter(None, (i.strip() for i in body.split(","))):
            item, _, value = item.partition(" = ")
            at = int(value) if value else at
            values.append((item, at))
            at += 1
        return values

    def fields(self, line):
        if m := re.fullmatch(r"(\w+) \(\*(\w+)\)\((.*)\)", line):
            return [(m[2], self.callback(m[1], m[3]))]
        base, names = re.fullmatch(r"((?:const )?(?:struct )?\w+ (?:const \*)?)(.*)", line).groups()
        fields = []
        for name in names.split(", "):
            stars, name, count = re.fullmatch(r"([* const]*?)(\w+)(?:\[(\d+)\])?", name).groups()
            kind = self.type_of((base + stars).strip(), False)
            fields.append((name, f"{kind} * {count}" if count else kind))
        return fields

    def callback(self, result, arguments):
        kinds = [self.type_of(re.sub(r"\w+$", "", a).strip(), False) for a in arguments.split(", ")]
        return f"CFUNCTYPE({', '.join([self.type_of(result, False)] + kinds)})"

    def argument(self, a):
        kind = re.sub(r"\w+$", "", a).strip()
        return self.type_of(kind, True)

    def type_of(self, c, call):
        """The ctypes type; in calls, arrays of numbers are addresses, as NumPy gives them."""
        c = re.sub(r"\b(const|struct) ?", "", c).replace(" ", "")
        name, stars = c.rstrip("*"), len(c) - len(c.rstrip("*"))
        if name == "void":
            return {0: "None", 1: "c_void_p", 2: "POINTER(c_void_p)"}[stars]
        if name in self.enums:
            kind = "c_int"
        elif name in PLAIN:
            kind = PLAIN[name]
        elif name in self.opaque:
            kind, stars = "c_void_p", stars - 1
        elif name in self.structs or name in self.callbacks:
            kind = name
        else:
            raise SystemExit(f"bind.py: unknown type {c}")
        if kind == "c_char" and stars > 0:
            kind, stars = "c_char_p", stars - 1
        elif call and stars > 0 and name in PLAIN:
            return "c_void_p"
        return "POINTER(" * stars + kind + ")" * stars

    def module(self):
        out = ['"""Made from retort.h by bind.py: its structs, constants and functions."""', "from ctypes import (CFUNCTYPE, POINTER, Structure, c_bool, c_char, c_char_p, c_double, c_float, c_int, c_int32, c_int64,",
               "                    c_size_t, c_uint8, c_uint32, c_uint64, c_void_p)", "",
               f"VERSION = {tuple(self.version)}", ""]
        for values in self.enums.values():
            out += [f"{name} = {value}" for name, value in values]
        out += ["", f"STATUS_NAMES = {{{', '.join(f'{v}: {n[7:]!r}' for n, v in self.enums['retort_status'])}}}", ""]
        emitted = set()

        def emit(name):
            if name in emitted:
                return
            emitted.add(name)
            kinds = [k for _, k in self.structs[name]] if name in self.structs else [self.callbacks[name]]
            for other in re.findall(r"retort_\w+", " ".join(kinds)):
                emit(other)
            if name in self.callbacks:
                out.extend([f"{name} = {self.callbacks[name]}", ""])
                return
            out.append(f"class {name}(Structure):")
            out.append("    _fields_ = [")
            out.extend(f'        ("{field}", {kind}),' for field, kind in self.structs[name])
            out.extend(["    ]", "", ""])

        for name in [*self.structs, *self.callbacks]:
            emit(name)
        out.append("FUNCTIONS = {")
        out += [f'    "{n}": ({r}, ({"".join(a + ", " for a in args)})),' for n, (r, args) in self.functions.items()]
        out.append("}")
        return "\n".join(out) + "\n"

    def layout(self):
        out = ["#include <retort.h>", "#include <stdio.h>", "int main(void) {"]
        for struct, fields in self.structs.items():
            out.append(f'    printf("{struct} %zu\\n", sizeof({struct}));')
            for field, _ in fields:
                out.append(f'    printf("{struct}.{field} %zu %zu\\n", offsetof({struct}, {field}), '
                           f"sizeof((({struct} *)0)->{field}));")
        for values in self.enums.values():
            out += [f'    printf("{name} %d\\n", (int){name});' for name, _ in values]
        return "\n".join(out + ["    return 0;", "}"]) + "\n"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        header = Header(file.read())
    print(header.layout() if "--layout" in sys.argv[2:] else header.module(), end="")


if __name__ == "__main__":
    main()
