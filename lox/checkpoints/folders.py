"""Where a checkpoint lies: a folder or a Hub id, its files with weights, and what makes them a model."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

SINGLE_FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
COMPANIONS = (  # what goes along with the weights; of a README there is a new one, and code is not copied
    *("config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "tekken.json", "*.tiktoken"),
    *("tokenizer.model", "tokenizer.model.v[0-9]*", "spiece.model", "sentencepiece.bpe.model"),
    *("chat_template.json", "chat_template.jinja", "additional_chat_templates/*.jinja"),
    *("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*"),
)
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class ChangedMeanwhile(OSError):
    """A checkpoint was written to while it was read, so what was made of it is a mixture."""


def local_folder(source: str | Path) -> Path:
    """The folder of that name, or the Hub's cache of a Hub id, downloaded; FileNotFoundError if neither."""
    folder = Path(source)
    if folder.is_dir():
        return folder
    if folder.exists() or str(source).count("/") != 1 or str(source).startswith((".", "/", "~")):
        raise FileNotFoundError(f"{source}: no such folder, and no Hub id (owner/name) either")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(source), allow_patterns=["*.safetensors", INDEX, *COMPANIONS]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise FileNotFoundError(
            f"{source}: no such folder here, and it could not be fetched from the Hub: {first_line(error)}"
        ) from None


def weight_map(folder: Path) -> dict[str, str]:
    """Tensor name -> file name as the index has it; empty for a single file, which goes first.

    That is the order of transformers; where both are there, a warning says so. ValueError for neither.
    """
    index = folder / INDEX
    if (folder / SINGLE_FILE).exists():
        if index.exists():
            warnings.warn(
                f"{folder}: {SINGLE_FILE} is read, as transformers does; the index beside it is not",
                stacklevel=2,
            )
        return {}
    if not index.exists():
        raise ValueError(_no_weights(folder))
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ValueError(f"{index}: no weight_map; download the checkpoint again")
    for file in sorted({str(file) for file in names.values()}):
        if Path(file).name != file or file in ("", ".."):
            raise ValueError(f"{index}: {file!r} is no file name in its folder")
        if not (folder / file).is_file():
            raise ValueError(f"{index}: {file} is missing; download the checkpoint again")
    return names


def companions(folder: Path) -> list[Path]:
    """Its files of ``COMPANIONS``; links that lead out of ``folder`` are left out, with a warning."""
    paths = sorted({path for pattern in COMPANIONS for path in folder.glob(pattern) if path.is_file()})
    paths = [path for path in paths if not path.name.startswith(".")]
    outside = [path for path in paths if not _lies_in(path, folder)]
    if outside:
        names = ", ".join(str(path.relative_to(folder)) for path in outside)
        warnings.warn(f"{folder}: links that lead out of it are not copied: {names}", stacklevel=2)
    return [path for path in paths if path not in outside]


def _lies_in(path: Path, folder: Path) -> bool:
    """Whether a file lies in ``folder``, or where the Hub's cache keeps what the folder's links lead to."""
    blobs = folder.resolve().parent.parent / "blobs"
    real = path.resolve()
    return real.is_relative_to(folder.resolve()) or (
        folder.resolve().parent.name == "snapshots" and real.is_relative_to(blobs)
    )


def read_json(path: Path) -> dict:
    """The JSON object in a file; ValueError, naming the file, for anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: no valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a JSON object was expected")
    return content


def first_line(error: Exception) -> str:
    """The first line of an error's message, with the next one where it ends in a colon; of none the error's kind."""
    first, *rest = str(error).strip().splitlines() or [type(error).__name__]
    return f"{first} {rest[0].strip()}" if first.endswith(":") and rest else first


def _no_weights(folder: Path) -> str:
    if (folder / "adapter_config.json").exists():
        return f"{folder}: an adapter, not a whole model; merge it into its base model first"
    for pattern in PICKLES:
        if pickles := sorted(folder.glob(pattern)):
            convert = "AutoModelForCausalLM.from_pretrained(OLD).save_pretrained(NEW)"
            return f"{pickles[0]}: only safetensors is read; convert it with transformers: {convert}"
    return f"{folder}: neither {SINGLE_FILE} nor {INDEX} is there"
