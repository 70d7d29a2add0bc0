"""The commands on datasets are told the same things in the same words, in the same order."""

from __future__ import annotations

from collections import defaultdict

import typer

from backend.cli import app

COMMANDS = (
    "audit", "check", "clean", "convert", "evaluate", "overlay", "predict", "propagate", "select", "split", "train",
    "segment train", "segment eval", "segment predict",
)  # fmt: skip
# in this order, each with the same help everywhere; some mean more in a command
SHARED = (
    "--backbone", "--allow-noncommercial", "--cache", "--from", "--images", "--image-column", "--label-column",
    "--seed", "--skip-problems", "--force",
)  # fmt: skip
OWN_HELP = {
    ("select", "--images"), ("propagate", "--images"), ("audit", "--seed"), ("train", "--seed"), ("train", "--force"),
    ("check", "--backbone"), ("check", "--from"), ("overlay", "--from"), ("segment train", "--seed"),
    ("segment train", "--from"), ("segment eval", "--from"), ("segment predict", "--from"),
}  # fmt: skip


def test_shared_options_have_one_name_help_and_order() -> None:
    commands = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    commands |= {f"segment {name}": one for name, one in commands["segment"].commands.items()}
    helps: dict[str, set[str]] = defaultdict(set)
    for name in COMMANDS:
        found = []
        for option in commands[name].params:
            shared = [one for one in option.opts if one in SHARED]
            if not shared:
                continue
            if (name, shared[0]) in OWN_HELP:
                continue
            found.append(shared[0])
            helps[shared[0]].add(option.help)
        assert found == sorted(found, key=SHARED.index), name
    assert {option: len(texts) for option, texts in helps.items()} == dict.fromkeys(SHARED, 1)
