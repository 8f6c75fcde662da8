"""Players: the modules that updates train, each with its weights, optimizer and projections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import nn
from torch.optim import Optimizer

from translate.adversary import Adversary
from translate.errors import TranslateError
from translate.method import Method, Update


class MethodError(TranslateError):
    """A method broke a rule of the game; one sentence that names the player or term."""


class Player:
    """A player: its own weights, those it shares with other players, and its optimizer.

    A shared weight moves only when all players that hold it move together; the first of them steps it.
    """

    def __init__(self, name: str, own: list[nn.Parameter], shared: dict[nn.Parameter, frozenset[str]]) -> None:
        self.name = name
        self.own = own
        self.shared = shared
        self.optimizer: Optimizer
        self.rates: list[float]
        self.projections: list[Callable[[], None]]
        """Projections, such as weight clipping, applied after each optimizer step."""
        self.moved = False
        """Whether its gradients belong to a move that is done."""

    @property
    def learning_rates(self) -> dict[str, float]:
        """The optimizer's learning rates as they are now, by the player's name; with a number where they differ."""
        rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        if len(set(rates)) == 1:
            return {self.name: rates[0]}
        return {f"{self.name}/{number}": rate for number, rate in enumerate(rates)}

    def moving(self, together: frozenset[str]) -> list[nn.Parameter]:
        """The weights that move when the players named in ``together`` do."""
        return self.own + [weight for weight, owners in self.shared.items() if owners <= together]


def names_of(moves: Sequence[Update]) -> tuple[str, ...]:
    """The names of all players that move together."""
    return tuple(name for move in moves for name in move.players)


def weights_of(players: Sequence[Player], together: frozenset[str]) -> list[nn.Parameter]:
    """The weights that one update of these players moves, each once, when all ``together`` move."""
    if len(players) == 1:
        return players[0].moving(together)
    return list(dict.fromkeys(weight for player in players for weight in player.moving(together)))


def players_of(
    method: Method, optimizers: Mapping[str, Callable[[list[nn.Parameter]], Optimizer]]
) -> dict[str, Player]:
    """The players of a method, each with its weights and an optimizer made by its factory."""
    named = {
        name: [weight for weight in module.parameters() if weight.requires_grad]
        for name, module in method.players.items()
    }
    owners: dict[nn.Parameter, frozenset[str]] = {}
    for name, weights in named.items():
        for weight in weights:
            owners[weight] = owners.get(weight, frozenset()) | {name}
    players: dict[str, Player] = {}
    taken: set[nn.Parameter] = set()
    adversaries = [module for module in method.modules() if isinstance(module, Adversary)]

    def owned(adversary: Adversary, weights: set[nn.Parameter]) -> bool:
        return any(weight in weights for weight in adversary.discriminator.parameters())

    for name, weights in named.items():
        if not weights:
            raise MethodError(f"the player {name!r} has no weights to train")
        own = [weight for weight in weights if len(owners[weight]) == 1]
        shared = {weight: owners[weight] for weight in weights if len(owners[weight]) > 1}
        player = Player(name, own, shared)
        # A shared weight lies in one optimizer; when its player moves alone, it has no gradient and is skipped.
        stepped = [weight for weight in weights if weight not in taken]
        taken.update(stepped)
        if not stepped:
            raise MethodError(f"all weights of the player {name!r} belong to players before it; make them one player")
        player.optimizer = optimizers[name](stepped)
        player.rates = [float(group["lr"]) for group in player.optimizer.param_groups]
        player.projections = [adversary.project for adversary in adversaries if owned(adversary, set(weights))]
        players[name] = player
    return players
