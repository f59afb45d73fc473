"""The recipes run end to end, on small files of the formats that they name."""

import dataclasses
import json
from pathlib import Path

import pytest
from trainer_files import write_cifar, write_idx

from verify.trainer import read_config
from verify.trainer.command import RECIPES, parse, run
from verify.trainer.comparison import Arm, compare, markdown

NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))


def test_there_are_recipes():
    assert {"cifar10_resnet18", "cifar100_resnet18", "fashion_mnist", "mnist1d_table"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_recipes_run_end_to_end(tmp_path, name, capsys):
    config = parse([], Path(name))
    assert config == read_config(RECIPES / f"{name}.toml")
    small = {"epochs": 1, "batch": 16, "out": tmp_path / "runs", "width": 4, "precision": "float32"}
    if config.data == "idx":
        # 28 x 28, as the files that the recipe names.
        small["data_dir"] = write_idx(tmp_path / "data", size=28)
    elif config.data.startswith("cifar"):
        classes = int(config.data[5:])
        small["data_dir"] = write_cifar(tmp_path / "data", classes, records=20 if classes == 10 else 100)
    folder = run(dataclasses.replace(config, **small), resume=False)
    assert "mean of all" in capsys.readouterr().out
    assert (folder / "report.html").is_file()
    final = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert final["kind"] == "final"
    assert len(final["test"]) == 3


def test_a_comparison_is_paired_and_not_repeated(tmp_path):
    base = dataclasses.replace(
        read_config({"students": "mlp:2", "data": "digits", "epochs": 1, "monitor": 0.0, "validation": 0.0}),
        out=tmp_path,
    )
    arms = (Arm("independent", 1.0, 0.0), Arm("DML (KL)"), Arm("the same as DML", 1.0, 1.0 + 1e-12))
    steps = []
    first = compare(base, (0, 1), arms=arms, report=lambda trainer, values: steps.append(trainer.number))
    taken = len(steps)
    assert taken > 0
    again = compare(base, (0, 1), arms=arms, report=lambda trainer, values: steps.append(trainer.number))
    assert len(steps) == taken
    assert again == first
    # The same seed means the same start and batches: what does not differ in the objective does not differ.
    assert first.scores["DML (KL)"]["nll"] == pytest.approx(first.scores["the same as DML"]["nll"], rel=1e-5)
    assert first.scores["DML (KL)"]["nll"] != first.scores["independent"]["nll"]
    table = markdown(first)
    assert table.count("\n|") == 4
    assert "within seeds" in table
