"""Flow: two normalizing flows that share their latent, so that translating back is exact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, cast

from torch import Tensor, nn

from translate.adversary import Adversary
from translate.errors import TranslateError
from translate.latent import logged_as
from translate.method import Batch, Method, Parts, Update
from translate.options import Option
from translate.sizes import fitting_sizes
from translate_flow.model import FlowNetwork
from translate_flow.pixels import Pixels
from translate_flow.translators import PriorSampler, ThroughFlows

OTHER = {"source": "target", "target": "source"}


class Flow(Method):
    """Invertible translation with exact likelihoods and an exact cycle (AlignFlow, Grover et al. 2020).

    AlignFlow: Cycle Consistent Learning from Multiple Domains via Normalizing Flows, arXiv:1905.12892. Each domain has
    a flow f between its images and a latent z of the same shape, z ~ N(0, I), made of the couplings of NICE and RealNVP
    (arXiv:1410.8516, arXiv:1605.08803) and Glow's activation normalization (arXiv:1807.03039). The translation is
    ``f_B^-1(f_A(x))`` and its inverse ``f_A^-1(f_B(y))``, so the cycle is exact without a loss. Both flows minimise::

        gan * (L_GAN(A -> B, D_B) + L_GAN(B -> A, D_A))  +  likelihood * (bits_A(x) + bits_B(y))

    with least squares, an image pool of 50 and Adam (0.5, 0.999). The authors weight nats per image by 1e-4 for images
    of 128 x 128 x 3 values, which is 3.4 for bits per value, a unit that fits all sizes. ``likelihood=0`` trains by the
    adversaries alone, ``gan=0`` by the likelihoods alone. Likelihoods are those of images with uniform noise within the
    steps of their depth; the adversaries see the same images.

    Forward, backward and a sampler of the target are saved.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        couplings: Annotated[str, Option("networks of the coupling layers", part="couplings")] = "residual",
        coupling: Annotated[
            Literal["affine", "additive"], Option("affine couplings scale and shift, additive ones only shift")
        ] = "affine",
        scales: Annotated[int, Option("scales; sides must divide by 2^(scales - 1)", ge=1, le=8)] = 2,
        layers: Annotated[int, Option("couplings with each mask at each scale", ge=1)] = 3,
        alpha: Annotated[float, Option("the logit's distance from 0 and 1", gt=0, lt=0.5)] = 0.05,
        equal_start: Annotated[bool, Option("both flows begin with the same weights")] = True,
        likelihood: Annotated[
            float, Option("weight of the likelihoods, in bits per dimension; 0 leaves them out", ge=0)
        ] = 3.4,
        gan: Annotated[float, Option("weight of the adversarial terms; 0 trains without discriminators", ge=0)] = 1.0,
        discriminator: Annotated[
            str, Option("discriminator network, one for each domain", part="discriminators")
        ] = "patch",
        adversarial: Annotated[
            str, Option('adversarial loss and penalties, such as "hinge + r1(weight=1)"', part="adversarial_losses")
        ] = "lsgan",
        pool: Annotated[int, Option("earlier fakes that each discriminator is shown, too; 0 for none", ge=0)] = 50,
    ) -> None:
        super().__init__()
        channels = parts.source.channels
        if parts.target.channels != channels:
            raise TranslateError(
                f"flow is invertible, so both domains need as many channels; here sources have {channels} and "
                f"targets {parts.target.channels}; make both alike, or choose another method"
            )
        if not likelihood and not gan:
            raise TranslateError("flow learns from likelihoods, adversaries or both, and likelihood and gan are both 0")
        multiple = 2 ** (scales - 1)
        if any(side % multiple for side in parts.size):
            raise TranslateError(
                f"flow(scales={scales}) needs sides that divide by {multiple}, which "
                f"{parts.size[0]}x{parts.size[1]} does not; train with --size {fitting_sizes(parts.size, multiple)}"
            )
        self.flows = nn.ModuleDict()
        for name, domain in (("source", parts.source), ("target", parts.target)):
            flow = FlowNetwork(
                channels,
                Pixels.of(domain, alpha),
                scales=scales,
                layers=layers,
                network=lambda inputs, outputs: parts.network("couplings", couplings, inputs=inputs, outputs=outputs),
                affine=coupling == "affine",
            )
            # Compiled and recomputed as a whole.
            self.flows[name] = parts.own(flow)
        if equal_start:
            self.flows["target"].load_state_dict(self.flows["source"].state_dict())
        self.adversaries = nn.ModuleDict()
        for name in OTHER if gan else ():
            self.adversaries[name] = parts.adversary(discriminator, loss=adversarial, inputs=channels, pool=pool)
        self.shape = (channels, *parts.size)
        self.likelihood, self.gan = likelihood, gan

    @property
    def period(self) -> int:
        """That of the adversaries; both have the same."""
        return self._adversary("target").period if self.adversaries else 1

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Both flows as one player; both discriminators, if any, as the other."""
        if not self.adversaries:
            return {"flows": self.flows}
        discriminators = nn.ModuleDict({name: self._adversary(name).discriminator for name in self.adversaries})
        return {"flows": self.flows, "discriminators": discriminators}

    @property
    def translators(self) -> Mapping[str, nn.Module]:
        """Both directions, which share the two flows, and a sampler of the target."""
        source, target = self._flow("source"), self._flow("target")
        return {
            "forward": ThroughFlows(source, target),
            "backward": ThroughFlows(target, source),
            "sample": PriorSampler(target, self.shape),
        }

    def updates(self, batch: Batch, step: int) -> Iterator[Update | tuple[Update, ...]]:
        """One update of the discriminators, then one of the flows, from the same translations."""
        if "target" not in batch:
            raise TranslateError("flow translates between two domains, and this data has one; give both")
        images = {name: self._flow(name).pixels.dequantize(batch[name]) for name in OTHER}
        if step == 0:
            for name in OTHER:
                self._flow(name).prepare(images[name])
        found = {name: self.flows[name](images[name]) for name in OTHER}
        bits = {f"{name}_bits": self._flow(name).bits(*found[name]).mean() for name in OTHER}
        terms: dict[str, Tensor] = {}
        if self.adversaries:
            fakes = {name: self._flow(name).inverse(found[other][0]) for name, other in OTHER.items()}
            discriminator_terms: dict[str, Tensor] = {}
            for name, fake in fakes.items():
                of_name = self._adversary(name).discriminator_terms(images[name], fake.detach())
                discriminator_terms |= {f"{name}_{term}": value for term, value in of_name.items()}
            yield Update("discriminators", discriminator_terms)
            if not self._adversary("target").generator_moves(step):
                return
            for name, fake in fakes.items():
                losses = self._adversary(name).generator_terms(fake, images[name])
                terms |= {f"{name}_{term}": self.gan * value for term, value in losses.items()}
        if self.likelihood:
            terms |= {name: logged_as(value, self.likelihood) for name, value in bits.items()}
        yield Update("flows", terms, log={} if self.likelihood else bits)

    def _flow(self, name: str) -> FlowNetwork:
        return cast(FlowNetwork, self.flows[name])

    def _adversary(self, name: str) -> Adversary:
        return cast(Adversary, self.adversaries[name])
