#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes entities.json beside itself with seqeval 1.2.2: sequences of tags, right and predicted, of the schemes that models are
trained with and of mixtures, and what seqeval's default mode counts in them."""
import json
import pathlib
import random
import warnings

from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities

SCHEMES = {
    "BIO": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
    "BIOES": ["O", "B-PER", "I-PER", "E-PER", "S-PER", "B-LOC", "I-LOC", "E-LOC", "S-LOC"],
    "BILOU": ["O", "B-PER", "I-PER", "L-PER", "U-PER", "B-LOC", "I-LOC", "L-LOC", "U-LOC"],
    "BMES": ["O", "B-PER", "M-PER", "E-PER", "S-PER", "B-LOC", "M-LOC", "E-LOC", "S-LOC"],
    "mixed": ["O", "B-PER", "I-PER", "E-PER", "S-PER", "L-PER", "U-PER", "B-a-b", "I-a-b", "E-a-b", "I-a"],
    "bare": ["B", "I", "E", "S", "O"],
}
WHOLE = [("BIOES", "S-PER O B-LOC I-LOC E-LOC S-PER", "S-PER O B-LOC I-LOC E-LOC S-PER"), ("BIOES", "B-PER E-PER S-PER", "B-PER I-PER I-PER"),
         ("BIOES", "S-PER S-PER", "B-PER E-PER"), ("BILOU", "U-PER O B-LOC I-LOC L-LOC", "U-PER O B-LOC I-LOC L-LOC"),
         ("BILOU", "B-PER L-PER O U-LOC", "B-PER I-PER O B-LOC"), ("BILOU", "U-PER U-PER", "U-PER O")]


def count(scheme, gold, predicted):
    right, found = set(get_entities([gold])), set(get_entities([predicted]))
    return {"scheme": scheme, "gold": gold, "predicted": predicted, "wanted": len(right), "found": len(found), "correct": len(right & found),
            "f1": float(f1_score([gold], [predicted], zero_division=0))}


def main():
    warnings.simplefilter("ignore")  # of U- and L-, which it takes for no tags
    chance = random.Random(1)
    rows = [count(scheme, gold.split(), predicted.split()) for scheme, gold, predicted in WHOLE]
    for scheme, tags in SCHEMES.items():
        for _ in range(24):
            gold = [chance.choice(tags) for _ in range(chance.randint(1, 9))]
            rows.append(count(scheme, gold, [tag if chance.random() < 0.7 else chance.choice(tags) for tag in gold]))
    lines = ",\n".join(json.dumps(row) for row in rows)
    schemes = json.dumps(SCHEMES)
    pathlib.Path(__file__).with_name("entities.json").write_text(f'{{"schemes": {schemes},\n"rows": [\n{lines}\n]}}\n')


main()
