"""What timm documents of `create_model`, `Mixup` and `SoftTargetCrossEntropy`, as far as the documentation uses it."""

from torch import nn


def create_model(model_name, *, num_classes, in_chans):
    """A network that takes pictures (B, in_chans, H, W) of any size and returns logits (B, num_classes)."""
    width = {"test_resnet": 16, "test_efficientnet": 24}[model_name]
    return nn.Sequential(
        nn.Conv2d(in_chans, width, 3, stride=2), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, width, 3, stride=2), nn.BatchNorm2d(width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(9 * width, num_classes),
    )  # fmt: skip
