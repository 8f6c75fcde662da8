"""Detectors: how long each needs, what it says, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from translate_guard.streaks import Patience


@dataclass(frozen=True, slots=True)
class Seen:
    """What a detector measured, and whether it is a sign of what it looks for."""

    value: float
    sign: bool


@dataclass(frozen=True, slots=True)
class Detector:
    """A detector's ``patience``, its ``text`` with {subject}, {value} and {steps}, and the ``advice``."""

    patience: Patience
    text: str
    advice: str


_BALANCE = Patience(rows=10, steps=100, share=0.1)
_LOOKS = Patience(rows=2, steps=50, share=0.05)
_LONGER = Patience(rows=3, steps=100, share=0.1)

DETECTORS = {
    "won": Detector(
        _BALANCE,
        "the discriminator of {subject} has won for {steps} steps: its loss is {value:.0%} of the way from chance to "
        "its least, and the generator gains nothing",
        "slow it down (a lower learning rate for its player, label smoothing) or restrain it (r1, spectral_norm, "
        "diffaugment)",
    ),
    "lost": Detector(
        _BALANCE,
        "the discriminator of {subject} has lost for {steps} steps: it rates {value:.0%} of real images above "
        "generated ones, where guessing gives 50%",
        "give it a higher learning rate, more layers or less regularization; where the samples look right, it is done",
    ),
    "explosion": Detector(
        Patience(rows=3),
        "the term {subject} has exploded: it is {value:.3g} times its median so far",
        "go back to an earlier checkpoint with a lower learning rate or --clip-norm 1",
    ),
    "gradient": Detector(
        Patience(rows=5),
        "the player {subject} has had no gradient for {steps} steps: its norm is {value:.1g}, so it learns nothing",
        "look whether its loss is saturated (another adversarial loss) or its learning rate has broken it; go back to "
        "an earlier checkpoint",
    ),
    "variation": Detector(
        _LOOKS,
        "the outputs of {subject} hardly depend on their inputs: they vary {value:.0%} as much as they should",
        "this is a collapse: give the loss on pairs or the cycle more weight, or weaken the discriminator",
    ),
    "repeats": Detector(
        _LONGER,
        "the samples of {subject} repeat few pictures: {value:.0%} of them differ from one another",
        "this is mode collapse: lower the learning rates, restrain the discriminator (r1, gradient_penalty), or use a "
        "larger batch",
    ),
    "copied": Detector(
        _LONGER,
        "{subject} copies its inputs: the outputs differ from them by {value:.0%} of what the domains differ",
        "give identity and cycle terms less weight, or the discriminator more; look whether both domains hold the same",
    ),
    "inverted": Detector(
        _LONGER,
        "the outputs of {subject} are inverted: their correlation with what they should keep is {value:.2f}",
        "start again with another --seed or an identity term; it seldom goes away by itself",
    ),
    "checkerboard": Detector(
        _LOOKS,
        "the outputs of {subject} show a checkerboard: {value:.1%} of their energy lies at the frequencies of the "
        "network's strides, far more than in real images",
        "use a generator that resizes and convolves instead of transposed convolutions, or train longer",
    ),
    "saturated": Detector(
        _LOOKS,
        "the outputs of {subject} are saturated: {value:.0%} more of their values than of real ones lie at an end of "
        "the range",
        "lower the learning rate; look whether the data is in the range that it should have",
    ),
    "memorised": Detector(
        _LOOKS,
        "{subject} repeats training images: {value:.0%} of the outputs are nearly one of them",
        "use more data or augmentation, a smaller network, or stop earlier",
    ),
    "constant": Detector(
        Patience(rows=1),
        "the training images of the {subject} are constant: {value:.0%} of them are blank or equal to the first",
        "look at the data with `translate data`; nothing can be learnt from it",
    ),
}
"""The detectors by name; ``docs/guard.md`` says what each measures and why."""
