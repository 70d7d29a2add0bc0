"""Short names for good timm weights, under the names people use."""

from __future__ import annotations

# all under licences that allow commercial use; what they cost and are worth: docs/embedding.md
ALIASES: dict[str, str] = {
    "b0": "efficientnet_b0.ra_in1k",
    "resnet18": "resnet18.a1_in1k",
    "resnet50": "resnet50.a1_in1k",
    "mobilenet": "mobilenetv3_large_100.ra_in1k",
    "swin": "swin_tiny_patch4_window7_224.ms_in22k_ft_in1k",
    "vit": "vit_small_patch14_reg4_dinov2.lvd142m",
}

# an input side for models that take any and are built for one that is dear
IMAGE_SIZES: dict[str, int] = {"vit_small_patch14_reg4_dinov2.lvd142m": 224}

AUTO_CPU = "mobilenet"
AUTO_GPU = "vit"
