"""The speedrun: its recipes, what a run reports, and the command."""

import small

from lenet5lib import cli
from lenet5lib.studies import speedrun
from lenet5lib.training.schedules import OneCycle


def test_the_recipes_are_one_cycle_over_their_epochs():
    assert set(speedrun.RECIPES) == {"six", "ten"}
    for chosen in speedrun.RECIPES.values():
        assert isinstance(chosen.recipe.learning_rate, OneCycle)
        assert chosen.recipe.learning_rate.epochs == chosen.epochs
        assert chosen.recipe.kernel_initializer == "he"


def test_a_run_measures_itself_and_reads_the_test_digits_once():
    found = speedrun.run("six", 3, small.splits())
    again = speedrun.run("six", 3, small.splits())
    assert found.seed == 3
    assert 0 < found.curve[0][0] < found.curve[-1][0] <= found.seconds
    assert [accuracy for _, accuracy in found.curve] == [
        accuracy for _, accuracy in again.curve
    ]
    assert found.test_accuracy == again.test_accuracy > 0.2


def test_the_command_prints_a_line_for_each_seed(tmp_path, capsys):
    data = small.save_npz(tmp_path / "digits.npz", 240, 20)
    assert cli.main(["speedrun", "--data", str(data), "--seeds", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[1:]] == [
        "seed 0",
        "seed 1",
        "mean",
    ]
