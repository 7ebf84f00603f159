"""From what the programs measured to the numbers that are reported: medians, rates, ratios, and the table as text.

Nothing is measured here. `run.py` writes the numbers as JSON; `table` lays them out for a terminal.
"""

from __future__ import annotations

from statistics import median
from typing import Any

import load

from lenet5lib.spec import LENET5

WANTED = {
    ("loops-32", "article-32"): 4.5,
    ("loops-32", "keras-32"): 4.0,
    ("loops-32", "torch-32"): 3.0,
    ("loops-128", "keras-128"): 2.5,
    ("loops-128", "torch-128"): 2.0,
}
"""The comparisons that the project cares about: the program, what it is held against, how many times as fast is wanted."""

FURTHER = (
    ("loops-32", "keras-jit-32"),
    ("loops-32", "torch-compile-32"),
    ("loops-128", "keras-jit-128"),
    ("loops-128", "torch-compile-128"),
    ("loops-32", "loops-1-thread-32"),
    ("loops-128", "loops-1-thread-128"),
)
"""Comparisons for information."""

SHARE_WANTED = 0.30
"""The share of the machine's matrix product that is wanted at batch size 128."""
DISTORTED = ("loops-distorted-32", "loops-32")
DISTORTED_WANTED = 1.6
"""How many times as long distortions and averaged weights may take."""

COLUMNS = (
    "program",
    "s/epoch",
    "min–max",
    "first",
    "images/s",
    "GFLOP/s",
    "of limit",
    "peak MiB",
)


def flop() -> int:
    """Return the FLOP of one training image."""
    # Imported here because numba comes with it, for which a refused option should not wait.
    from lenet5lib.studies import roofline

    return roofline.training_flop(roofline.macs(LENET5))


def limit(answers: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the best matrix product of all rounds, and the best of each."""
    rounds = [max(answer["gflops"].values()) for answer in answers]
    others = [answer["other_cores"] for answer in answers]
    if not rounds:
        return None
    return {"gflops": max(rounds), "rounds": rounds, "other_cores": others}


def layers(answers: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the best of all rounds: for each layer and engine, for the optimizer, and for the limits of one thread."""
    if not answers:
        return None
    found: dict[str, Any] = {}
    for name, first in answers[0]["layers"].items():
        each = [answer["layers"][name] for answer in answers]
        found[name] = {"kind": first["kind"]}
        for engine in ("keras", "loops"):
            rates = [one[engine] for one in each]
            found[name][engine] = max(rates, key=lambda rate: rate["gflops"])
        found[name]["microseconds"] = {
            what: min(one["microseconds"][what] for one in each)
            for what in first["microseconds"]
        }
    names = "gflops", "gigabytes_per_second"
    return {
        **{name: max(answer[name] for answer in answers) for name in names},
        "layers": found,
        "adam_microseconds": min(a["adam_microseconds"] for a in answers),
        "other_cores": [answer["other_cores"] for answer in answers],
    }


def program(
    answers: list[dict], num_train: int, limit: dict | None
) -> dict[str, Any]:
    """Return the numbers of one program from its rounds; the first epoch of each round is kept apart."""
    rounds = [[epoch["seconds"] for epoch in a["epochs"]] for a in answers]
    later = [epoch for a in answers for epoch in a["epochs"][1:]]
    measured = [epoch["seconds"] for epoch in later]
    gflops = 1e-9 * flop() * num_train / median(measured)
    return {
        "seconds": {
            "median": median(measured),
            "min": min(measured),
            "max": max(measured),
            "rounds": [values[1:] for values in rounds],
        },
        "first_epoch_seconds": [values[0] for values in rounds],
        "validation_seconds": median(e["validation_seconds"] for e in later),
        "images_per_second": num_train / median(measured),
        "gflops": gflops,
        "share_of_limit": gflops / limit["gflops"] if limit else None,
        "peak_memory_mib": max(a["peak_memory_mib"] or 0 for a in answers) or None,
        "other_cores": [a["other_cores"] for a in answers],
    }


def ratios(programs: dict[str, dict]) -> dict[str, dict[str, Any]]:
    """Return how many times as fast the first of each pair is: by the medians, in each round, and as wanted."""
    found = {}
    for pair in (*WANTED, *FURTHER):
        if set(pair) <= set(programs):
            mine, theirs = (programs[name]["seconds"] for name in pair)
            found[" vs ".join(pair)] = {
                "median": theirs["median"] / mine["median"],
                "rounds": [
                    median(b) / median(a)
                    for a, b in zip(mine["rounds"], theirs["rounds"], strict=True)
                ],
                "wanted": WANTED.get(pair),
            }
    return found


def goals(programs: dict[str, dict]) -> dict[str, dict[str, float]]:
    """Return the other numbers that are wanted, each with what was measured; without those that were not."""
    found = {}
    share = programs.get("loops-128", {}).get("share_of_limit")
    if share is not None:
        found["share of the limit, loops-128, at least"] = share, SHARE_WANTED
    if set(DISTORTED) <= set(programs):
        longer, plain = (programs[name]["seconds"]["median"] for name in DISTORTED)
        found["distorted, times as long, at most"] = (
            longer / plain,
            DISTORTED_WANTED,
        )
    return {
        name: {"measured": measured, "wanted": wanted}
        for name, (measured, wanted) in found.items()
    }


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
    measured = [(n, result[n]) for n in ("limit", "layers") if result[n]]
    measured += [*result["programs"].items(), *result["accuracy"].items()]
    names = [
        name
        for name, numbers in measured
        if max(numbers["other_cores"]) > load.MOST
    ]
    return list(dict.fromkeys(names))


def _cells(name: str, numbers: dict[str, Any]) -> tuple[str, ...]:
    """Write one program's line of the table."""
    seconds, share = numbers["seconds"], numbers["share_of_limit"]
    peak = numbers["peak_memory_mib"]
    return (
        name,
        f"{seconds['median']:.3f}",
        f"{seconds['min']:.3f}–{seconds['max']:.3f}",
        f"{median(numbers['first_epoch_seconds']):.2f}",
        f"{numbers['images_per_second']:,.0f}",
        f"{numbers['gflops']:.1f}",
        f"{share:.1%}" if share is not None else "–",
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
    name = data["dataset_name"]
    warning = [] if name == "MNIST" else [f"NOT MNIST: {name}"]
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
        f"An epoch of {data['num_train']:,} images, {machine['threads']} threads; "
        f"median of {result['settings']['rounds']} rounds after a first epoch kept apart",
        f"{machine['cpu']}; {versions}",
        *switched,
        *([machine["simulated"]] if machine["simulated"] else []),
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
    title = (
        f"Until {run['goal']:.1%} of the validation images are correct, one run each, "
        "compilation included"
    )
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
        wanted = f", wanted {ratio['wanted']:.1f}" if ratio["wanted"] else ""
        lines.append(
            f"{pair}: {ratio['median']:.2f} times as fast ({spread}){wanted}"
        )
    for name, goal in result["goals"].items():
        lines.append(f"{name} {goal['wanted']:g}: {goal['measured']:.2f}")
    if compiling := result["compile_seconds"]:
        lines.append(
            f"loops ready after {compiling['first']:.1f} s the first time, {compiling['from_cache']:.1f} s from then on"
        )
    return "\n".join([*lines, *_accuracy_lines(result)])
