# SPDX-License-Identifier: Apache-2.0
"""The code of examples/tutorial.ipynb, cell after cell in one namespace, as Jupyter runs it."""
import contextlib
import io
import json
import os
import re

from harness import HERE, ROOT, main, test


@test
def tutorial():
    book = json.loads((ROOT / "examples/tutorial.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 5 and len(json.dumps(book)) < 30000
    for page in re.findall(r"\]\((\.\./[^)]+)\)", json.dumps(book["cells"])):
        assert (ROOT / "examples" / page).exists(), page
    os.environ["RETORT_MODELS"] = str(ROOT / "models")  # the package of the model, where it is installed
    os.chdir(HERE)
    space, said = {"__name__": "__main__"}, io.StringIO()
    with contextlib.redirect_stdout(said):
        for number, cell in enumerate(cells, 1):
            exec(compile(cell, f"code cell {number}", "exec"), space)
    assert space["after"]["value"] > space["before"]["value"] and space["after"]["difference_low"] > 0, said.getvalue()
    assert any(claim["proven"] for claim in space["report"]["claims"]), said.getvalue()
    assert (HERE / "tuned/report.html").exists() and (HERE / "tuned/smallest.retort").exists()


main()
