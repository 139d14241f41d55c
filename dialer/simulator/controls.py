"""What a test can want of the simulated switch, in the words of a test."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Self, TypeVar

from dialer.simulator.behaviour import RINGS_ON, Behaviour
from dialer.simulator.causes import CAUSES
from dialer.simulator.leg import Call, Party
from dialer.simulator.scenario import ANSWER
from dialer.simulator.switch import Switch

if TYPE_CHECKING:
    from dialer.simulator.sessions import Session

T = TypeVar("T")


class Controls(ABC):
    """Decide how people behave, and what happens to the switch; see who was called. Spans are seconds of rule time."""

    switch: Switch
    sessions: set[Session]
    turns_away: bool

    @abstractmethod
    def _do(self, action: Callable[[], T]) -> T:
        """Do something where the switch lives, and return what it returned."""

    # --- people ---------------------------------------------------------------------------------------------------

    def subscriber(self, number: str) -> Subscriber:
        """Return a handle on whoever answers a number; a leading ``+`` makes no difference."""
        return Subscriber(self, "subscriber", number.removeprefix("+"))

    def operator(self, extension: str) -> Operator:
        """Return a handle on an operator, by his extension or by the outside number of his phone."""
        return Operator(self, "operator", extension.removeprefix("+"))

    # --- what happened --------------------------------------------------------------------------------------------

    @property
    def calls(self) -> list[Call]:
        """Every leg that was asked for, in order, those refused at once included."""
        return self._do(lambda: list(self.switch.router.calls))

    def calls_to(self, number: str) -> list[Call]:
        """Return the legs that were asked for to one number or extension, in order."""
        digits = number.removeprefix("+")
        return [call for call in self.calls if call.number == digits]

    @property
    def live_calls(self) -> list[Call]:
        """The legs that exist now."""
        return self._do(lambda: [leg.call for leg in self.switch.legs.values()])

    def listening(self, uuid: str) -> tuple[str, set[str]]:
        """Return to which leg another listens by ``eavesdrop``, empty if to none, and the legs that hear it speak."""

        def look() -> tuple[str, set[str]]:
            leg = self.switch.legs.get(uuid)
            if leg is None or leg.listens_to is None:
                return "", set()
            return leg.listens_to.uuid, {heard.uuid for heard in leg.heard_by()}

        return self._do(look)

    def peak(self, gateway: str) -> int:
        """Return the most calls that a gateway was given at once."""
        return self._do(lambda: self.switch.router.peak[gateway])

    @property
    def core_uuid(self) -> str:
        return self._do(lambda: self.switch.events.core_uuid)

    # --- the switch -----------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Let the switch refuse every new leg with DESTINATION_OUT_OF_ORDER."""
        self._do(lambda: setattr(self.switch.router, "paused", True))

    def resume(self) -> None:
        self._do(lambda: setattr(self.switch.router, "paused", False))

    def gateway_down(self, name: str) -> None:
        """Let calls through a gateway fail with GATEWAY_DOWN."""
        self._do(lambda: self.switch.router.gateways_down.add(name))

    def gateway_up(self, name: str) -> None:
        self._do(lambda: self.switch.router.gateways_down.discard(name))

    def fire(self, subclass: str, **headers: str) -> None:
        """Fire a CUSTOM event, as a dialplan would."""
        self._do(lambda: self.switch.events.tell("CUSTOM", lambda: headers, subclass=subclass))

    def lose(self, *names: str) -> None:
        """Let all events of these names be lost."""
        self._deliver(names, ())

    def double(self, *names: str) -> None:
        """Let all events of these names come twice."""
        self._deliver(names, (0.0, 0.0))

    def delay(self, seconds: float, *names: str) -> None:
        """Let all events of these names come late."""
        self._deliver(names, (seconds,))

    def deliver(self, *names: str) -> None:
        """Let events of these names come as they should again; without a name: all events."""
        deliveries = self.switch.deliveries
        self._do(lambda: [deliveries.pop(name, None) for name in names or tuple(deliveries)])

    def _deliver(self, names: tuple[str, ...], after: tuple[float, ...]) -> None:
        self._do(lambda: self.switch.deliveries.update(dict.fromkeys(names, after)))

    def turn_away(self, turned: bool = True) -> None:
        """Let the access list admit nobody, or everybody again. Connections that exist stay."""
        self._do(lambda: setattr(self, "turns_away", turned))

    def drop_connections(self) -> None:
        """Break every connection off; calls go on."""

        def drop() -> None:
            for session in list(self.sessions):
                session.abort()

        self._do(drop)


class _Person:
    """What somebody does when called: from now on at every call, or call by call with ``then`` between."""

    def __init__(self, controls: Controls, party: Party, key: str) -> None:
        self._controls = controls
        self._key: tuple[Party, str] = (party, key)
        self._adds = False

    @property
    def then(self) -> Self:
        """Say what he does at the call after the one just described; the last one said holds for all later calls."""
        self._adds = True
        return self

    def behaves(self, behaviour: Behaviour) -> Self:
        def change() -> None:
            overrides = self._controls.switch.router.overrides
            if not self._adds:
                overrides[self._key] = deque()
            overrides.setdefault(self._key, deque()).append(behaviour)

        self._controls._do(change)
        self._adds = False
        return self

    def busy(self, after: float = 0.1) -> Self:
        return self.fails("USER_BUSY", after)

    def rejects(self, after: float = 0.1) -> Self:
        return self.fails("CALL_REJECTED", after)

    def no_answer(self) -> Self:
        """Let the phone ring until the caller gives up."""
        return self.behaves(Behaviour(RINGS_ON))

    def fails(self, cause: str, after: float = 0.0) -> Self:
        """End the call before the answer, by phone or network. Within 20 ms the phone does not even ring."""
        if cause not in CAUSES:
            raise ValueError(f"{cause} is not a hangup cause.")
        return self.behaves(Behaviour(cause, after))

    def faults(self, cause: str) -> Self:
        """Let the call fail within the switch: as its cause fails there, most of them without any channel."""
        return self.behaves(Behaviour(fault=cause))

    @property
    def calls(self) -> list[Call]:
        """The legs that were asked for to him, in order."""
        return self._controls.calls_to(self._key[1])


class Subscriber(_Person):
    """Somebody behind a number."""

    def answers(
        self,
        after: float = 0.1,
        *,
        talks: float | None = None,
        hangs_up: bool = True,
        patience: float | None = None,
        early_media: bool = False,
    ) -> Self:
        """Answer; talk so long from the bridge on (``None``: for ever), then hang up or let the other one do it.

        Without a bridge he hangs up ``patience`` seconds after his answer (``None``: never).
        """
        return self.behaves(Behaviour(ANSWER, after, talks, not hangs_up, patience, early_media))


class Operator(_Person):
    """Somebody at a phone of ours."""

    def answers(self, after: float = 0.1, *, talks: float | None = None, patience: float | None = None) -> Self:
        """Answer; hang up ``talks`` seconds after the bridge, or ``patience`` seconds after the answer without one."""
        return self.behaves(Behaviour(ANSWER, after, talks, patience=patience))

    def register(self) -> Self:
        """Let his phone register, and be in the directory."""
        extension = self._key[1]
        self._controls._do(lambda: self._controls.switch.register(extension))
        return self

    def unregister(self, *, expired: bool = False, last: bool = True) -> Self:
        """Let his phone say goodbye, or be silent until it has expired; with ``last`` he has no other one."""
        extension = self._key[1]
        self._controls._do(lambda: self._controls.switch.unregister(extension, expired=expired, last=last))
        return self
