"""Other libraries to compare with, each in its own virtual environment.

A peer runs as a child process with its own Python, memory and threads. A driver is a script in this
folder that reads a question as JSON from its first argument and prints the answer as JSON on the
last line of its output.
"""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from filelock import FileLock

ENVIRONMENTS = Path(__file__).with_name(".envs")


def environment(*requirements: str) -> Path:
    """Return the Python of an environment with `requirements`, which is created at first use."""
    name = "-".join(requirement.replace("==", "-") for requirement in requirements)
    folder = ENVIRONMENTS / name
    python = folder / "bin" / "python"
    ENVIRONMENTS.mkdir(exist_ok=True)
    (ENVIRONMENTS / ".gitignore").write_text("*\n")
    with FileLock(ENVIRONMENTS / f"{name}.lock"):
        ready = folder / "ready"
        if not ready.exists():
            venv.create(folder, with_pip=True, clear=True)
            pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "install", *requirements], check=True)
            ready.touch()
    return python


def run(
    script: str, question: dict[str, Any], *, python: Path | None = None, **variables: str
) -> dict[str, Any]:
    """Run a driver of this folder and return its answer.

    Parameters
    ----------
    script : str
        File name, such as ``"peer_implicit.py"``.
    python : Path or None
        What `environment` returned; None for the Python that is running.
    **variables : str
        Environment variables, such as ``OPENBLAS_NUM_THREADS="1"``.
    """
    command = [str(python or sys.executable), str(Path(__file__).with_name(script))]
    root = str(Path(__file__).parents[1])
    inherited = {**os.environ, "PYTHONPATH": root} if python is None else dict(os.environ)
    done = subprocess.run(
        [*command, json.dumps(question)],
        env={**inherited, **variables},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer
