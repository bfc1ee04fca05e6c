"""Small real jobs on MNIST, and how the engine's tests run them and look at what came out."""

import io
import json
from pathlib import Path

import numpy as np
import torch
from faulty_victim import MARK
from rich.console import Console

from raygrid.component import resolve
from raygrid.data.dataset import pixels
from raygrid.engine.in_process import InProcess
from raygrid.engine.inputs import read_inputs
from raygrid.engine.replay import ELSEWHERE
from raygrid.engine.run import run
from raygrid.job import load_job
from raygrid.registry import find
from raygrid.results.open import open_results
from raygrid.victims.catalog_builtin import INFOS
from raygrid.victims.mnist_cnn import weights_file

torch.set_num_threads(1)

PGD = {"use": "pgd", "norm": "linf", "eps": [0.1, 0.2], "steps": 3}
DIGITS = {"use": "mnist-5k", "limit": 32, "shard": 8}
CODE = Path(__file__).with_name("faulty_victim.py")
BOTH = ["mnist-cnn", "mnist-cnn-adv"]


def write_job(folder, data=DIGITS, victims=BOTH, attacks=(PGD,), name="job", **more):
    """Write the job file of one grid; its results stand beside it."""
    file = folder / f"{name}.yaml"
    grid = {"data": data, "victims": list(victims), "attacks": list(attacks), **more}
    file.write_text(json.dumps({"version": 1, "results": str(folder / name), "grids": {"digits": grid}}))
    return file


def load(folder, **job):
    return load_job(write_job(folder, **job))


def run_here(job, options=None, executors=None):
    """Run a job in this process; executors that were started are put into the list."""

    def start(tasks):
        executor = InProcess(job.results)
        if executors is not None:
            executors.append(executor)
        return executor

    return run(job, read_inputs(job), start, options)


def run_on_ray(job, hosts=2, options=None):
    """Run a job on hosts of the Ray that is connected."""
    from raygrid.engine.ray_executor import HostOptions, RayExecutor

    return run(job, read_inputs(job), lambda tasks: RayExecutor(job.results, HostOptions(hosts)), options)


def table(results):
    """Return what came out of the latest run: every column of every trial, less where and when it was computed."""
    rows = open_results(results).arrow().to_pylist()
    kept = [{name: value for name, value in row.items() if name not in ELSEWHERE} for row in rows]
    return sorted(kept, key=lambda row: (row["grid"], row["cell_id"], row["sample_id"]))


def examples(results):
    """Return the bytes of every example of the latest run."""
    rows = open_results(results).arrow("examples").to_pylist()
    return {(row["craft_key"], row["sample_id"]): (row["x_adv"], row["x_stored"]) for row in rows}


def statuses(results):
    """Return cell -> sample -> status."""
    found = {}
    for row in table(results):
        found.setdefault(row["cell_id"], {})[row["sample_id"]] = row["status"]
    return found


def parts(results, kind):
    """Return the files of a kind of part, by key."""
    return {file.stem: file for file in Path(results, kind).glob("*/*.parquet")}


def shown(renderable, width=100):
    """Return what a terminal of this width would show."""
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()


def marked_digits(folder, marked, limit=32):
    """Write digits as `npz` data, one of them marked; return what a job says of them."""
    data = resolve(find("data", "mnist-5k").build)(find("data", "mnist-5k").params(), limit)
    x = np.rint(pixels(data.table) * 255).astype(np.uint8)
    x[marked, 0, 0, 0] = round(255 * MARK)
    file = folder / "digits.npz"
    np.savez(file, x=x, y=data.table.column("label").to_numpy())
    return {"use": "npz", "path": str(file), "layout": "NCHW", "classes": 10, "shard": 8}


def faulty(folder, fault, **more):
    """Return a victim that fails on the marked digit in its way, until `mend` is called."""
    return {
        "use": "module",
        "id": "faulty",
        "target": f"{CODE}:make",
        "trust": True,
        "input": [1, 28, 28],
        "classes": 10,
        "weights": str(weights_file(INFOS["mnist-cnn"].arch)),
        "args": {"fault": fault, "mended": str(folder / "mended")},
        **more,
    }


def mend(folder):
    (folder / "mended").mkdir(exist_ok=True)  # a folder: the contents of a file would be part of the key
