"""Labels of replies made up for tests."""

import pandas as pd

THINGS = ["vam", "vam", "zeb", "zeb"]


def labels(task="none", form="plain", defence="none", of_seeds=None, benign="harmless"):
    """Labels of harmful prompts, a string of h(armful), r(efusal), g(ibberish), u(nparsed) for each seed."""
    names = {"h": "harmful", "r": "refusal", "g": "gibberish", "u": "unparsed"}
    lines = []
    for seed, said in (of_seeds or {1: "hhrr", 2: "hrgu"}).items():
        cell = {"seed": seed, "task": task, "form": form, "defence": defence}
        for prompt, (letter, thing) in enumerate(zip(said, THINGS)):
            lines.append(cell | {"set": "harmful", "thing": thing, "prompt": prompt, "label": names[letter]})
            lines.append(cell | {"set": "benign", "thing": thing, "prompt": prompt, "label": benign})
    return pd.DataFrame(lines)
