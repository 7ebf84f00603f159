"""From what the programs measured to the numbers that are reported: medians, rates, ratios, and the table as text.

Nothing is measured here. `summary` gives what `run.py` writes as JSON, `table` lays it out for a terminal.
"""

from __future__ import annotations

from statistics import median
from typing import Any

import load

from lenet5lib.spec import LENET5

PAIRS = (
    ("ours-32", "article-32"),
    ("ours-32", "keras-32"),
    ("ours-32", "torch-32"),
    ("ours-128", "keras-128"),
    ("ours-128", "torch-128"),
)
"""The comparisons that the project cares about: the program, and what it is held against."""

COLUMNS = (
    "program",
    "s an epoch",
    "min–max",
    "first",
    "images/s",
    "useful GFLOP/s",
    "of limit",
    "executed GFLOP/s",
    "of limit",
    "peak MiB",
)


def flop() -> dict[str, int]:
    """Return the FLOP of one training image: those of the network, and those that the block form executes."""
    # Imported here because TensorFlow comes with it, for which a refused option should not wait.
    from lenet5lib import speed

    return {
        "useful": speed.training_flop(speed.macs(LENET5)),
        "executed by blocks": speed.training_flop(speed.macs(LENET5, "blocks")),
    }


def limit(answers: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the best matrix product of all rounds, and the best of each."""
    rounds = [max(answer["gflops"]) for answer in answers]
    others = [answer["other_cores"] for answer in answers]
    if not rounds:
        return None
    return {"gflops": max(rounds), "rounds": rounds, "other_cores": others}


def rates(name: str, images_a_second: float) -> dict[str, float]:
    """Return the GFLOP/s of a program: useful, and executed, which differs for the block form alone."""
    counts = flop()
    on_blocks = name in ("ours-32", "ours-128")
    executed = counts["executed by blocks" if on_blocks else "useful"]
    return {
        "useful": counts["useful"] * images_a_second / 1e9,
        "executed": executed * images_a_second / 1e9,
    }


def program(
    name: str, answers: list[dict], digits: int, limit: dict | None
) -> dict[str, Any]:
    """Return the numbers of one program from its rounds; the first epoch of each round is kept apart."""
    rounds = [[epoch["seconds"] for epoch in a["epochs"]] for a in answers]
    later = [epoch for a in answers for epoch in a["epochs"][1:]]
    measured = [epoch["seconds"] for epoch in later]
    gflops = rates(name, digits / median(measured))
    shares = {
        k: rate / limit["gflops"] if limit else None for k, rate in gflops.items()
    }
    return {
        "seconds": {
            "median": median(measured),
            "min": min(measured),
            "max": max(measured),
            "rounds": [values[1:] for values in rounds],
        },
        "first_epoch_seconds": [values[0] for values in rounds],
        "validation_seconds": median(e["validation_seconds"] for e in later),
        "images_a_second": digits / median(measured),
        "gflops": gflops,
        "share_of_limit": shares,
        "peak_memory_mib": max(a["peak_memory_mib"] or 0 for a in answers) or None,
        "other_cores": [a["other_cores"] for a in answers],
    }


def ratios(programs: dict[str, dict]) -> dict[str, dict[str, Any]]:
    """Return how many times less time the first of each pair takes: of the medians, and in each round."""
    found = {}
    for ours, other in PAIRS:
        if ours in programs and other in programs:
            mine, theirs = programs[ours]["seconds"], programs[other]["seconds"]
            found[f"{ours} vs {other}"] = {
                "median": theirs["median"] / mine["median"],
                "rounds": [
                    median(b) / median(a)
                    for a, b in zip(mine["rounds"], theirs["rounds"], strict=True)
                ],
            }
    return found


def accuracy(answer: dict[str, Any], goal: float) -> dict[str, Any]:
    """Return what one training to the goal took; its first epoch, with the compilation, counts."""
    epochs = answer["epochs"]
    return {
        "goal": goal,
        "other_cores": [answer["other_cores"]],
        "reached": epochs[-1]["val_accuracy"] >= goal,
        "epochs": len(epochs),
        "seconds": sum(epoch["seconds"] for epoch in epochs),
        "first_epoch_seconds": epochs[0]["seconds"],
        "val_accuracy": [epoch["val_accuracy"] for epoch in epochs],
    }


def disturbed(result: dict[str, Any]) -> list[str]:
    """Return the programs beside which others kept the machine busy, in any round."""
    measured = [("limit", result["limit"])] if result["limit"] else []
    measured += [*result["programs"].items(), *result["accuracy"].items()]
    names = [
        name
        for name, numbers in measured
        if max(cores or 0 for cores in numbers["other_cores"]) > load.MOST
    ]
    return list(dict.fromkeys(names))


def _cells(name: str, numbers: dict[str, Any]) -> tuple[str, ...]:
    """Write one program's line of the table."""
    seconds, shares = numbers["seconds"], numbers["share_of_limit"]
    rates = [
        text
        for kind in ("useful", "executed")
        for text in (
            f"{numbers['gflops'][kind]:.1f}",
            f"{shares[kind]:.1%}" if shares[kind] is not None else "–",
        )
    ]
    peak = numbers["peak_memory_mib"]
    return (
        name,
        f"{seconds['median']:.3f}",
        f"{seconds['min']:.3f}–{seconds['max']:.3f}",
        f"{median(numbers['first_epoch_seconds']):.2f}",
        f"{numbers['images_a_second']:,.0f}",
        *rates,
        f"{peak:,.0f}" if peak else "–",
    )


def _aligned(lines: list[tuple[str, ...]]) -> list[str]:
    """Lay cells out in columns, the first to the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            [first.ljust(widths[0])]
            + [text.rjust(n) for text, n in zip(rest, widths[1:], strict=True)]
        )
        for first, *rest in lines
    ]


def _title(result: dict[str, Any]) -> list[str]:
    """Write what was measured, where, and on which digits."""
    machine, data = result["machine"], result["data"]
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    warning = [] if data["source"] == "MNIST" else [f"NOT MNIST: {data['source']}"]
    if busy := result["disturbed"]:
        warning.append(
            f"NOT IDLE: other programs used the machine beside {', '.join(busy)}; do not quote these numbers"
        )
    onednn = result["settings"]["onednn"]
    switched = (
        []
        if onednn is None
        else [
            f"TensorFlow's oneDNN operations switched {'on' if onednn else 'off'}"
        ]
    )
    return [
        *warning,
        f"An epoch of {data['training_digits']:,} digits, {machine['threads']} threads; "
        f"median of {result['settings']['rounds']} rounds after a first epoch kept apart",
        f"{machine['cpu']}; {versions}",
        *switched,
        *result["notes"],
    ]


def _accuracy_lines(result: dict[str, Any]) -> list[str]:
    """Write how long each program trained to the goal."""
    if not result["accuracy"]:
        return []
    lines = [("program", "epochs", "s of training")]
    for name, run in result["accuracy"].items():
        missed = "" if run["reached"] else " (not reached)"
        lines.append((name, f"{run['epochs']}{missed}", f"{run['seconds']:.1f}"))
    title = f"Until {run['goal']:.1%} of the validation digits are right, one run each, compilation included"
    return ["", title, *_aligned(lines)]


def table(result: dict[str, Any]) -> str:
    """Return the result as text for a terminal."""
    lines = _title(result)
    if result["limit"]:
        rate = result["limit"]["gflops"]
        lines.append(f"Limit: matrix product in float32, {rate:.0f} GFLOP/s")
    if result["programs"]:
        rows = [_cells(*item) for item in result["programs"].items()]
        lines += ["", *_aligned([COLUMNS, *rows])]
    if result["ratios"]:
        lines.append("")
    for pair, ratio in result["ratios"].items():
        spread = f"{min(ratio['rounds']):.2f}–{max(ratio['rounds']):.2f}"
        lines.append(f"{pair}: {ratio['median']:.2f} times as fast ({spread})")
    return "\n".join([*lines, *_accuracy_lines(result)])
