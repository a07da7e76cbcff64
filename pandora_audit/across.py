"""Facts of a deployment: what several hosts know together. Each host contributes a share; all of them are read last."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar

from pandora_audit.fact import Fact, known_facts, snake_case
from pandora_audit.promises import Promises
from pandora_audit.question import Answer, NotObserved, Role
from pandora_audit.verdict import NotApplicable

F = TypeVar("F", bound=Fact)


class Look(Protocol):
    """Gives a fact of the host in hand; raises NotObserved or NotApplicable as the fact's role does."""

    def __call__(self, kind: type[F], /) -> F: ...


@contextlib.contextmanager
def noting(told: dict[str, Any], why: str) -> Iterator[None]:
    """One part of a share: where nobody tells it, the reason stands under ``why``; where it is not there, nothing."""
    try:
        yield
    except NotObserved as silent:
        told[why] = silent.reason
    except NotApplicable:
        pass


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one host contributes.

    Args:
        host: its name.
        roles: those that it plays or is promised to play.
        hidden: those of which this audit could not see whether it plays them.
        value: the plain data that ``Across.share`` made of its facts; None where silent or absent.
        silence: why the host did not tell, as a sentence: not reached, not in this run, refused.
        absent: why it has nothing to tell: it lacks the component.
        evidence: the answers that the value was read from.
    """

    host: str
    roles: frozenset[Role] = frozenset()
    hidden: frozenset[Role] = frozenset()
    promises: Promises = field(default_factory=Promises)
    value: Any = None
    silence: str = ""
    absent: str = ""
    evidence: tuple[Answer, ...] = field(default=(), repr=False)

    @property
    def told(self) -> bool:
        return not (self.silence or self.absent)

    def may_play(self, *roles: Role) -> bool:
        """Whether the host is, or for all that was seen could be, one with one of these roles."""
        unseen = bool(self.silence) and not self.roles
        return unseen or bool((self.roles | self.hidden) & set(roles))


class Across:
    """Something that several hosts of a deployment know together.

    A subclass names the facts ``of`` single hosts that it is made of, says in ``share`` what is taken from one host
    (small, plain, without a secret: the host itself is forgotten after it was judged), and reads all shares in
    properties, which answer or raise as a fact's do. Its name, in snake case, is what controls ask for.
    """

    of: ClassVar[tuple[type[Fact], ...]] = ()

    def __init__(self, shares: Iterable[Share]) -> None:
        self.shares = tuple(sorted(shares, key=lambda share: share.host))

    def __init_subclass__(cls) -> None:
        ACROSS[cls.fact_name()] = cls

    @classmethod
    def fact_name(cls) -> str:
        return snake_case(cls.__name__)

    @classmethod
    def share(cls, look: Look) -> Any:
        """What one host contributes. May raise NotObserved or NotApplicable, as ``look`` does."""
        raise NotImplementedError

    def evidence(self) -> tuple[Answer, ...]:
        """The answers of the hosts, each under its host's name."""
        return tuple(answer for share in self.shares for answer in share.evidence)

    def every(self, *roles: Role) -> tuple[Share, ...]:
        """What all hosts with one of these roles (without any: all hosts) told.

        Raises NotObserved, naming them, when one of them did not tell; NotApplicable when none has anything to tell.
        """
        mine = [share for share in self.shares if not roles or share.may_play(*roles)]
        if silent := [share for share in mine if share.silence]:
            named = "; ".join(f"{share.host}: {share.silence}" for share in silent[:5])
            raise NotObserved(f"{named}; and {len(silent) - 5} more hosts" if len(silent) > 5 else named)
        told = tuple(share for share in mine if share.told)
        if not told:
            raise NotApplicable(mine[0].absent if mine else f"no host of the deployment is a {' or '.join(roles)}")
        return told

    def __repr__(self) -> str:
        return f"<{self.fact_name()}>"


ACROSS: dict[str, type[Across]] = {}


def known_across() -> Mapping[str, type[Across]]:
    """Every fact of a deployment by name; they stand beside the facts that they are made of."""
    known_facts()
    return ACROSS
