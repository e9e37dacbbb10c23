# SPDX-License-Identifier: Apache-2.0
"""What a long benchmark has measured so far."""
import json


class Kept:
    """Results by their keys; kept in a file of JSON lines, if one is given, so that a later call need not measure them again."""

    def __init__(self, path):
        self.path, self.known = path, []
        if path and path.exists():
            self.known = [json.loads(line) for line in path.read_text().splitlines()]

    def find(self, **key):
        return [r for r in self.known if all(r[k] == v for k, v in key.items())]

    def add(self, result, **key):
        self.known.append({**key, **result})
        print(json.dumps(self.known[-1]), flush=True)
        if self.path:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(self.known[-1]) + "\n")
