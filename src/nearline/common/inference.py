"""Inference with ONNX Runtime on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.errors import Damaged, MissingExtra

Arrays = dict[str, NDArray[Any]]

ERRORS_ONLY = 3
_ELEMENTS = {"tensor(int32)": np.int32, "tensor(int64)": np.int64, "tensor(bool)": np.bool_}


class OnnxGraph:
    """ONNX graph that is loaded for inference on the CPU; thread-safe.

    Parameters
    ----------
    source : bytes or Path
        The serialised graph, or the path of its file.
    threads : int
        Number of threads of one run. Idle threads sleep, so that other processes can use the
        cores.

    Attributes
    ----------
    inputs, outputs : list of str
        Names of the inputs and outputs.
    input_types : dict of str to dtype
        Element type of each input.

    Raises
    ------
    Damaged
        ONNX Runtime cannot load the graph.
    MissingExtra
        ONNX Runtime is not installed.
    """

    def __init__(self, source: bytes | Path, threads: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtra(
                "networks run in ONNX Runtime, which is not installed: "
                "pip install 'nearline[encoder]'"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                source if isinstance(source, bytes) else str(source),
                options,
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            name = "the ONNX graph" if isinstance(source, bytes) else str(source)
            raise Damaged(f"{name} cannot be loaded: {error}; export it again") from error
        self.inputs: list[str] = [one.name for one in self._session.get_inputs()]
        self.input_types = {
            one.name: np.dtype(_ELEMENTS.get(one.type, np.float32))
            for one in self._session.get_inputs()
        }
        self.outputs: list[str] = [one.name for one in self._session.get_outputs()]

    def __call__(self, **inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """Run the graph and return its outputs.

        Parameters
        ----------
        **inputs : array
            One array for each name in `inputs`, of the element type in `input_types`.

        Returns
        -------
        list of array
            The outputs, in the order of the attribute `outputs`.
        """
        found = self._session.run(self.outputs, inputs)
        return [np.asarray(array) for array in found]
