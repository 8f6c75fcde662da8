"""FastCUT: CUT without the identity loss, with a heavier contrastive loss and mirrored images."""

from __future__ import annotations

from translate.presets import preset
from translate_cut.method import CUT


class FastCUT(CUT):
    """The fast preset of cut: no identity loss, a heavier contrastive loss, mirrored inputs (Park et al. 2020).

    arXiv:2007.15651, section 4 and appendix C: lambda_X = 10, lambda_Y = 0. The generator's input is mirrored at random
    and its inner maps are mirrored back before they are compared with those of the source. Everything else is ``cut``.
    """

    __init__ = preset(CUT.__init__, nce=10.0, identity_nce=0.0, flip_equivariance=True)
