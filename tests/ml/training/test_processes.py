"""Two processes train as one with the double batch; a process that is killed is taken up again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from ml.datasets import write_dataset
from ml.training.fit import resume_network, train_network
from ml.training.tensor_file import read_tensors
from ml.training.yaml_file import check_config, write_config
from tests.ml.training.made import coloured

# without batch normalisation, whose statistics are each process' own
CONFIG: dict[str, Any] = {
    "Model.class_name": "test_convnext",
    "Model.weights": "scratch",
    "Training.epochs": 2,
    "Training.batch_size": 8,
    "Training.precision": "fp32",
    "Training.num_workers": 0,
    "Training.freeze_epochs": 1,
    "Training.ema": 0.9,
    "Dataset.transform.resize": 32,
    "Dataset.transform.hflip": True,
}
SCRIPT = """
import sys
from pathlib import Path
from ml.datasets import read_dataset
from ml.training.fit import train_network
from ml.training.yaml_file import read_config

train_network(read_config(Path(sys.argv[1])), read_dataset(Path(sys.argv[2])).examples, runs=Path(sys.argv[3]))
"""


def prepare(folder: Path, changes: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """Images, and the arguments of the script that trains on them."""
    examples = coloured(folder / "photos", each=12)
    write_dataset(examples, folder / "labels.csv")
    (folder / "train.py").write_text(SCRIPT)
    (folder / "config.yaml").write_text(write_config(check_config({}, CONFIG | changes)))
    return examples, [str(folder / name) for name in ("train.py", "config.yaml", "labels.csv", "runs")]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def test_two_processes_train_as_one_with_the_double_batch(tmp_path: Path) -> None:
    examples, arguments = prepare(tmp_path, {"Training.batch_size": 4})
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        *arguments,
    ]
    done = subprocess.run(launch, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    alone = train_network(check_config({}, CONFIG), examples, runs=tmp_path / "alone")
    expected = read_tensors(alone.path / "checkpoint.safetensors")
    found = read_tensors(run / "checkpoint.safetensors")
    assert (
        found[1]["progress"]["history"][-1]["macro_f1"] == expected[1]["progress"]["history"][-1]["macro_f1"]
    )
    for name, value in expected[0].items():
        if not name.startswith("optimizer."):
            torch.testing.assert_close(found[0][name], value, rtol=1e-3, atol=1e-5)


def test_sums_and_rows_are_those_of_all_processes(tmp_path: Path) -> None:
    (tmp_path / "add.py").write_text(
        "import numpy as np\n"
        "from ml.training.processes import join_processes\n"
        "with join_processes() as own:\n"
        "    large = np.array([[2**40 + own.rank, 1]])\n"
        "    assert own.add_up(large).tolist() == [[2**41 + 1, 2]]\n"
        "    rows = np.arange(5, dtype=np.float32)[own.rank :: 2, None]\n"
        "    assert own.gather(rows, 5)[:, 0].tolist() == [0, 1, 2, 3, 4]\n"
    )
    launch = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(tmp_path / "add.py"),
    ]  # fmt: skip
    done = subprocess.run(launch, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_process_that_was_killed_is_taken_up_again(tmp_path: Path) -> None:
    examples, arguments = prepare(tmp_path, {"Training.epochs": 200, "Training.checkpoint_minutes": 0})
    process = subprocess.Popen([sys.executable, *arguments], env=environment())
    try:
        until = time.monotonic() + 240
        while not list((tmp_path / "runs").glob("*/metrics.jsonl")):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    (run,) = (tmp_path / "runs").iterdir()
    begun = read_tensors(run / "checkpoint.safetensors")[1]["progress"]["epoch"]
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("epochs: 200", f"epochs: {begun + 1}", 1))
    done = resume_network(run)
    expected = train_network(
        check_config({}, CONFIG | {"Training.epochs": begun + 1}), examples, runs=tmp_path / "alone"
    )
    assert [record["epoch"] for record in done.history] == list(range(1, begun + 2))
    losses = [torch.tensor([one["train_loss"] for one in result.history]) for result in (done, expected)]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
