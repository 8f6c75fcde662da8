"""Initialization of convolutional GANs, as published for DCGAN, pix2pix and CycleGAN."""

from __future__ import annotations

from torch import nn

from translate_networks.normalization import BatchNorm


def initialize(network: nn.Module, deviation: float = 0.02) -> None:
    """Initialize all weights: convolutions from N(0, 0.02), scales of normalizations from N(1, 0.02), biases 0.

    Radford et al. 2015, arXiv:1511.06434, section 3. Random numbers come from torch's generator of the CPU.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, deviation)
        elif isinstance(module, BatchNorm):
            nn.init.normal_(module.weight, 1.0, deviation)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
