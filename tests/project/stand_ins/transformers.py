"""What transformers documents of `Trainer` and `TrainingArguments`, as far as the loop of the documentation uses it."""

import inspect
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import DataLoader


@dataclass
class TrainingArguments:
    """Defaults of the real class: AdamW, a rate that falls linearly to zero, gradients clipped at norm 1."""

    output_dir: str
    num_train_epochs: float
    per_device_train_batch_size: int
    learning_rate: float
    save_strategy: str
    report_to: str
    disable_tqdm: bool
    use_cpu: bool


class Trainer:
    """Batches are dictionaries, whose entries the model takes as arguments by name; `outputs["loss"]` is minimised."""

    def __init__(self, *, model, args, train_dataset):
        assert Path(args.output_dir).is_dir()
        assert args.use_cpu
        self.model, self.args, self.dataset = model, args, train_dataset

    def train(self):
        """Columns that the model's `forward` does not name are removed, as `remove_unused_columns` says."""
        parameters = inspect.signature(self.model.forward).parameters
        assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values()), "would be given num_items_in_batch"
        loader = DataLoader(self.dataset, self.args.per_device_train_batch_size, shuffle=True)
        steps = int(self.args.num_train_epochs * len(loader))
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=self.args.learning_rate, weight_decay=0.0)
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        self.model.train()
        for _ in range(int(self.args.num_train_epochs)):
            for batch in loader:
                outputs = self.model(**{name: value for name, value in batch.items() if name in parameters})
                assert outputs["logits"].shape[0] == len(batch["labels"]), "the Trainer gathers along the first axis"
                outputs["loss"].backward()
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                optimizer.step()
                rates.step()
                optimizer.zero_grad()
