"""What Lightning documents of `LightningModule` and `Trainer.fit`, as far as the loop of the documentation uses it."""

import torch


class LightningModule(torch.nn.Module):
    """Its `training_step` returns a loss, its `configure_optimizers` an optimizer; it knows the epoch, and logs."""

    current_epoch = 0

    def log_dict(self, values):
        """Numbers, or tensors of one number, by name."""
        self.logged = {name: float(torch.as_tensor(value).detach()) for name, value in values.items()}


class Trainer:
    """Automatic optimisation on a CPU: one optimizer step a batch, `max_epochs` times through the loader."""

    def __init__(
        self, *, max_epochs, accelerator, logger, enable_checkpointing, enable_progress_bar, enable_model_summary
    ):
        assert accelerator == "cpu"
        assert not any((logger, enable_checkpointing, enable_progress_bar, enable_model_summary))
        self.max_epochs = max_epochs

    def fit(self, module, train_dataloaders):
        """Train the module in its own `train` mode."""
        optimizer = module.configure_optimizers()
        module.train()
        for epoch in range(self.max_epochs):
            module.current_epoch = epoch
            for number, batch in enumerate(train_dataloaders):
                loss = module.training_step(batch, number)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
