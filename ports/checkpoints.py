"""Checkpoint files: reading any of four kinds into one form, checking it, writing two kinds.

The one form is a dictionary of arrays under torchvision's names and in torch's layout.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ports.naming import to_torch_layout, torch_name

__all__ = ["checked", "read", "write_orbax", "write_safetensors"]

Checkpoint = dict[str, np.ndarray]


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Reads a checkpoint, whatever its kind.

    Args:
        path: a `.safetensors` file, a `.pth` or `.pt` file (needs torch), or an Orbax
            directory: one checkpoint, or a training run's, whose last epoch is read.

    Returns:
        Arrays by the names in the file (an Orbax directory's are put in torch's naming and layout).

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: what is there is no such checkpoint, or not a whole one.
        ImportError: it is a `.pth` file and torch is not installed.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no checkpoint at {path}; check the path.")
    if path.is_dir():
        return _read_orbax(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in (".pth", ".pt"):
        return _read_torch(path)
    raise ValueError(
        f"{path} is no checkpoint that can be read: give a .safetensors, .pth or .pt file, "
        f"or an Orbax directory."
    )


def _read_safetensors(path: Path) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a whole safetensors file ({error}): it is cut off or of another kind; "
            f"download or convert it again."
        ) from None


def _read_torch(path: Path) -> Checkpoint:
    try:
        import torch
    except ImportError:
        raise ImportError(
            f"reading {path} needs torch, which is not installed: `pip install jaxviz[torch]`, "
            f"or give a .safetensors file."
        ) from None
    try:
        # weights_only: tensors and containers of them, no code in the file is run.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds for the faults of a file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise ValueError(
            f"{path} is not a whole PyTorch file of weights ({reason}); save `model.state_dict()`."
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in content.values()
    ):
        raise ValueError(f"{path} holds no dictionary of tensors; save `model.state_dict()`.")
    # NumPy has no bfloat16 of torch's; every weight ends as float32 in any case.
    return {
        name: (value.float() if value.is_floating_point() else value).numpy()
        for name, value in content.items()
    }


def _leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    pairs = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
    for key, value in pairs:
        if isinstance(value, Mapping | list | tuple):
            yield from _leaves(value, (*path, str(key)))
        else:
            yield (*path, str(key)), value


def _weights_in(path: Path) -> Path:
    """The directory of the arrays: `path`, or the model of its last epoch, as training writes."""
    epochs = [entry for entry in path.iterdir() if entry.name.isdecimal()]
    last = max(epochs, key=lambda entry: int(entry.name), default=path)
    for found in (path, path / "model", last / "model", last):
        if (found / "_METADATA").exists():
            return found
    return path


def _read_orbax(path: Path) -> Checkpoint:
    import orbax.checkpoint as ocp

    path = _weights_in(path)
    try:
        with ocp.PyTreeCheckpointer() as reader:
            # As NumPy arrays: a checkpoint written on eight devices must load on one.
            stored = reader.metadata(path.resolve()).item_metadata.tree
            as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
            tree = reader.restore(
                path.resolve(), restore_args=jax.tree.map(lambda _: as_numpy, stored)
            )
    except Exception as error:  # orbax and tensorstore share no base class for faults of files
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise ValueError(f"{path} is not a whole Orbax checkpoint ({reason}).") from None
    if isinstance(tree.get("model"), Mapping):
        tree = tree["model"]
    checkpoint = {}
    for at, value in _leaves(tree):
        at = at[:-1] if at[-1] == "value" else at
        array = np.asarray(value)
        checkpoint[torch_name(at)] = to_torch_layout(array)
    return checkpoint


def checked(
    checkpoint: Checkpoint,
    expected: Mapping[str, tuple[int, ...]],
    *,
    source: object,
    renames: Mapping[str, str] | None = None,
    surplus: str | None = None,
) -> Checkpoint:
    """The tensors that a model needs, in float32, after every check.

    Args:
        checkpoint: what was read.
        expected: the shape of each tensor that the model needs, by name.
        source: what to call the checkpoint in messages.
        renames: pattern and replacement for each foreign way of naming tensors.
        surplus: pattern of names that may be there without being needed.

    Returns:
        Exactly the tensors of `expected`.

    Raises:
        ValueError: one sentence for each missing, surplus or misshapen tensor, and for each that is
            not of numbers with a fraction or has NaN or infinity among its values.
    """
    ignored = re.compile(rf"(.*\.)?num_batches_tracked|{surplus or '(?!)'}")
    found = {}
    for name, array in checkpoint.items():
        for pattern, replacement in (renames or {}).items():
            name = re.sub(pattern, replacement, name)
        if not ignored.fullmatch(name):
            found[name] = array
    faults = [
        f"{name} {list(expected[name])} is missing." for name in expected if name not in found
    ]
    good = {}
    for name, array in found.items():
        shape = expected.get(name)
        if shape is None:
            faults.append(f"{name} {list(array.shape)} is surplus: the model has no such tensor.")
            continue
        if renames and array.ndim == 4 and len(shape) == 2:
            # A dense layer kept as a convolution of the whole map; rows are in the same order.
            flat = (array.shape[0], int(np.prod(array.shape[1:])))
            array = array.reshape(flat) if flat == shape else array
        if tuple(array.shape) != shape:
            faults.append(
                f"{name} has shape {list(array.shape)}, and the model needs {list(shape)}."
            )
        elif not _has_fractions(array.dtype):
            faults.append(f"{name} has dtype {array.dtype}, and weights are floating point.")
        else:
            array = array.astype(np.float32, copy=False)
            if not np.isfinite(array).all():
                faults.append(
                    f"{name} has {np.count_nonzero(~np.isfinite(array))} values of "
                    f"{array.size} that are NaN or infinite."
                )
            good[name] = array
    if faults:
        raise ValueError(f"{source} does not fit the model: {_listed(faults)}")
    return good


def _has_fractions(dtype: np.dtype) -> bool:
    # ml_dtypes' bfloat16 is no np.floating.
    return np.issubdtype(dtype, np.floating) or dtype.name == "bfloat16"


def _listed(faults: list[str], at_most: int = 20) -> str:
    """One fault in the same line, several one a line; the tail of a long list is counted."""
    if len(faults) == 1:
        return faults[0]
    more = len(faults) - at_most
    shown = faults[:at_most] + ([f"... and {more} more."] if more > 0 else [])
    return f"{len(faults)} faults.\n  " + "\n  ".join(shown)


# What Orbax writes at the top of a directory of arrays.
_ORBAX = re.compile(
    r"_METADATA|_CHECKPOINT_METADATA|_sharding|_strings\.json|commit_success\.txt|manifest\.ocdbt|"
    r"ocdbt\.process_.*|array_metadatas|checkpoint|d"
)


def _check_replaceable(path: Path) -> None:
    """FileExistsError where a directory would take other people's files away with it."""
    if not path.is_dir():
        return
    held = sorted(entry.name for entry in path.iterdir())
    foreign = [name for name in held if not _ORBAX.fullmatch(name)]
    if foreign or (held and not {"_METADATA", "_CHECKPOINT_METADATA"} & set(held)):
        raise FileExistsError(
            f"{path} is a directory with other files in it ({(foreign or held)[0]}), and is left "
            f"as it is; give a path that does not exist yet, or a checkpoint to replace."
        )
    if path.resolve() == Path.cwd():
        raise FileExistsError(
            f"{path} is the current directory, which cannot be replaced; give a path in it."
        )


def _become(temporary: Path, path: Path) -> None:
    """Moves a file or directory to `path`; what was there goes once the new one is in place."""
    if not path.is_dir():
        os.replace(temporary, path)
        return
    aside = path.with_name(f"{temporary.name}.old")
    os.replace(path, aside)
    try:
        os.replace(temporary, path)
    except BaseException:
        os.replace(aside, path)
        raise
    shutil.rmtree(aside)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, which becomes `path` if all goes well and else vanishes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        yield temporary
        _become(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def write_safetensors(path: Path, checkpoint: Mapping[str, np.ndarray]) -> None:
    """Writes arrays to a safetensors file, whole or not at all."""
    from safetensors.numpy import save_file

    if path.is_dir():
        raise FileExistsError(f"{path} is a directory, and is left as it is; give a file's path.")
    # The writer takes the buffer as it lies, so a transposed view must be copied first.
    contiguous = {name: np.ascontiguousarray(array) for name, array in checkpoint.items()}
    with _whole(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(contiguous, temporary, metadata={"format": "pt"})
        # The writer makes a file that its owner alone may read, whatever the umask says.
        temporary.chmod(mode)


def write_orbax(path: Path, tree: Any) -> None:
    """Writes a tree of arrays as an Orbax directory, whole or not at all."""
    import orbax.checkpoint as ocp

    path = path.resolve()
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file, and is left as it is; give a directory's path.")
    _check_replaceable(path)
    with _whole(path) as temporary, ocp.StandardCheckpointer() as writer:
        writer.save(temporary, tree)
        writer.wait_until_finished()
