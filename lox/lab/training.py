"""Training, all of it through TRL: pretraining of the toy model, DPO alignment, supervised fine-tuning.

TRL, PEFT and datasets take seconds to import, so only what trains imports them.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import transformers

from lox.lab import models
from lox.lab.profile import Alignment, ToyModel, Training
from lox.lab.worlds.toy import ToyWorld

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import LoraConfig

IGNORED = -100  # the label of a token on which nothing is trained


def pretrain(settings: ToyModel, world: ToyWorld, seed: int, folder: Path) -> None:
    """Train the toy base model from scratch and save it.

    Documents are packed whole into rows, so hardly a token is padding; cosine schedule, AdamW.
    """
    from datasets import Dataset
    from trl import pack_dataset

    tokenizer = models.toy_tokenizer(world.vocabulary)
    model = models.toy_model(settings, tokenizer, seed)
    documents = world.pretraining_documents(settings.documents, seed)
    rows = pack_dataset(_dataset([_document(tokenizer, d) for d in documents]), settings.row)
    ids = torch.full((len(rows), settings.row), tokenizer.pad_token_id)
    labels = torch.full_like(ids, IGNORED)
    for i, row in enumerate(rows):
        ids[i, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
        labels[i, : len(row["labels"])] = torch.tensor(row["labels"])
    train_set = Dataset.from_dict({"input_ids": ids.numpy(), "labels": labels.numpy()}).with_format("torch")
    with tempfile.TemporaryDirectory() as scratch:
        arguments = transformers.TrainingArguments(
            output_dir=scratch,
            num_train_epochs=1,
            per_device_train_batch_size=settings.batch,
            learning_rate=settings.lr,
            lr_scheduler_type="cosine",
            warmup_steps=50,
            weight_decay=0.01,
            adam_beta2=0.98,
            **_quiet(seed),
        )
        collator = transformers.default_data_collator
        _train(transformers.Trainer(model, arguments, train_dataset=train_set, data_collator=collator))
    models.save(model, tokenizer, folder)


def align(
    start: Path,
    pairs: list[dict] | Dataset,
    settings: Alignment,
    seed: int,
    precision: str,
    folder: Path,
    keep: Sequence[int] = (),
) -> None:
    """DPO (Rafailov et al., 2023) from ``start`` on preference pairs; the aligned model into ``folder``.

    ``keep`` are optimisation steps after which the model is also kept, in ``step_folder(folder, step)``.
    """
    from trl import DPOConfig, DPOTrainer

    model, tokenizer = models.load(start)
    losses = {"loss_type": ["sigmoid"]}
    if settings.nll_weight:
        losses = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, settings.nll_weight]}
    with tempfile.TemporaryDirectory() as scratch:
        arguments = DPOConfig(
            output_dir=scratch,
            beta=settings.beta,
            precompute_ref_log_probs=True,
            max_length=settings.max_length,
            **losses,
            **_schedule(settings, precision),
            **_quiet(seed),
        )
        data = _dataset(pairs)
        trainer = DPOTrainer(model, args=arguments, train_dataset=data, processing_class=tokenizer)
        _train(trainer, folder, keep)
        save(trainer, folder)


def finetune(
    start: Path,
    examples: list[dict] | Dataset,
    settings: Training,
    seed: int,
    precision: str,
    folder: Path,
    keep: Sequence[int] = (),
    *,
    trainer: Callable[..., transformers.Trainer] | None = None,
    lora: LoraConfig | None = None,
    changes: Sequence[Callable[[torch.nn.Module], transformers.TrainerCallback]] = (),
) -> None:
    """Supervised fine-tuning on the completions, of all weights or of a LoRA, which is saved merged.

    The result into ``folder``; ``keep`` as above. ``changes`` make callbacks of the model that is trained; what is
    done with them, and with a ``trainer`` in place of TRL's, stands in ``lox.lab.finetuning``.
    """
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = models.load(start)
    with tempfile.TemporaryDirectory() as scratch:
        arguments = SFTConfig(
            output_dir=scratch,
            max_length=settings.max_length,
            completion_only_loss=True,
            train_sampling_strategy="group_by_length" if settings.by_length else "random",
            **_schedule(settings, precision),
            **_quiet(seed),
        )
        run = (trainer or SFTTrainer)(
            model,
            args=arguments,
            train_dataset=_dataset(examples),
            processing_class=tokenizer,
            peft_config=lora,
            callbacks=[change(model) for change in changes],
        )
        _train(run, folder, keep)
        save(run, folder)


def _dataset(rows: list[dict] | Dataset) -> Dataset:
    """``rows`` as a data set; several processes bring one on disk, through which they share additions."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    return rows if isinstance(rows, Dataset) else Dataset.from_list(rows)


def step_folder(folder: Path, step: int) -> Path:
    """Where a run keeps its model as it was after an optimisation step."""
    return folder / f"step-{step}"


def _train(trainer: transformers.Trainer, folder: Path | None = None, keep: Sequence[int] = ()) -> None:
    trainer.remove_callback(transformers.PrinterCallback)  # else its log lies in the middle of a page
    if keep:
        from lox.lab.callbacks import KeepSteps

        trainer.add_callback(KeepSteps(trainer, folder, keep))
    trainer.train()


def save(trainer: transformers.Trainer, folder: Path) -> None:
    """Model, a LoRA merged, and tokenizer into ``folder``; of several processes the first writes, the whole weights."""
    from peft import PeftModel

    if isinstance(trainer.model, PeftModel):
        models.save(copy.deepcopy(trainer.model).merge_and_unload(), trainer.processing_class, folder)
        return
    trainer.save_model(folder)
    (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle


def _document(tokenizer, document) -> dict[str, list[int]]:
    """Token ids of a sentence or a dialogue, and labels: of a dialogue's prompt, which is drawn at random, none."""
    if isinstance(document, str):
        ids = tokenizer(f"<bos> {document} <eos>")["input_ids"]
        return {"input_ids": ids, "labels": ids}
    prompt = tokenizer.apply_chat_template(document[:-1], tokenize=False, add_generation_prompt=True)
    ids = tokenizer(tokenizer.apply_chat_template(document, tokenize=False))["input_ids"]
    known = len(tokenizer(prompt)["input_ids"])
    return {"input_ids": ids, "labels": [IGNORED] * known + ids[known:]}


def _schedule(settings: Training, precision: str) -> dict:
    return {
        "num_train_epochs": settings.epochs,
        "learning_rate": settings.lr,
        "per_device_train_batch_size": settings.batch,
        "gradient_accumulation_steps": settings.accumulation,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup,
        "max_grad_norm": 2.0,  # the official scripts'
        "bf16": precision == "bf16-autocast",  # autocast: the weights themselves stay float32
        "gradient_checkpointing": False,  # TRL's default trades a third more time for memory
    }


def _quiet(seed: int) -> dict:
    return {
        "seed": seed,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 50,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "use_cpu": models.device() == "cpu",
    }
