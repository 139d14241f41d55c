"""The one door through which the events of a switch come back: connect, catch up, then apply them in order."""

from __future__ import annotations

import logging
import signal
import time
from threading import Event as Flag
from types import FrameType

from django import db
from django.core.exceptions import ValidationError

from agents import actions as agents
from agents.models import Operator
from dialer import clock, verbs
from dialer.engine import calls
from dialer.engine.reconcile import Reconciler
from dialer.errors import Refused
from dialer.esl.errors import AuthenticationFailed, EslError
from dialer.models import Node
from dialer.switch import events
from dialer.switch.nodes import Line, SwitchNode

log = logging.getLogger(__name__)

QUIET = 0.2
"""Real seconds to wait for an event before the reconciler gets its turn."""
PHONES_EVERY = 10.0
"""Real seconds between two snapshots of the registrations: for operators added meanwhile, and events that were lost."""
SEEN_EVERY = 1.0
"""Real seconds between two notes of "the switch was heard"."""
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Real seconds before the next attempts to connect; the last one repeats."""


class Listener:
    """Listens to one switch until it is told to stop (SIGTERM, SIGINT)."""

    def __init__(self, switch: SwitchNode) -> None:
        self.switch = switch
        self.stopping = Flag()
        self.seen = 0.0
        self.phones_seen = 0.0

    def run(self) -> None:
        """Connect, listen, and connect again after each loss."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self.listen_until_stopped()

    def listen_until_stopped(self) -> None:
        """As ``run``, for a thread that handles no signals."""
        node, _ = Node.objects.get_or_create(name=self.switch.name)
        self.node = node
        failures = 0
        while not self.stopping.is_set():
            try:
                with self.switch.connect() as line:
                    failures = 0
                    self._listen(node, line)
            except EslError as error:
                pause = PAUSES[min(failures, len(PAUSES) - 1)]
                failures += 1
                level = logging.ERROR if isinstance(error, AuthenticationFailed) else logging.WARNING
                log.log(level, "Switch %s: %s; again in %s s.", node.name, error, pause)
                self._lost(node)
                self.stopping.wait(pause)
            except db.OperationalError as error:
                log.error("The database does not answer (%s); again in 1 s.", error)
                db.connections.close_all()
                self.stopping.wait(1.0)
        self._lost(node)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self.stopping.set()

    def _listen(self, node: Node, line: Line) -> None:
        line.subscribe()  # from here on events are buffered; what they tell is applied last
        node.refresh_from_db()
        reconciler = Reconciler(node, line)
        reconciler.end_lost_cores()
        self._note_phones(line)
        reconciler.step(force=True)
        self._found(node, line)
        while not self.stopping.is_set():
            event = line.receive(0.0)
            if event is None:
                # Only with every event applied may the switch's answers be held against the ledger.
                reconciler.step()
                if time.monotonic() - self.phones_seen >= PHONES_EVERY:
                    self._note_phones(line)
                event = line.receive(QUIET)
            if event is not None:
                self._apply(event, line)
            if time.monotonic() - self.seen >= SEEN_EVERY:
                self._note_heard(node)

    def _apply(self, event: events.SwitchEvent, line: Line) -> None:
        try:
            self._take(event, line)
        except (EslError, db.OperationalError):
            raise
        except Exception:
            # One event that cannot be applied must not keep out those behind it; reconciliation makes up for it.
            log.exception("An event could not be applied: %s", event)

    def _take(self, event: events.SwitchEvent, line: Line) -> None:
        match event:
            case events.Registered():
                agents.set_registered(event.user, self.node.pk, True, event.at)
            case events.Unregistered():
                # Another phone of his may still be registered.
                agents.set_registered(event.user, self.node.pk, event.user in line.registrations(), event.at)
            case events.StatusWanted():
                self._wish(event)
            case events.Heartbeat() | events.LegDestroyed():
                pass
            case _:
                orders = calls.apply(event)
                if orders:
                    line.carry_out(orders)

    def _wish(self, event: events.StatusWanted) -> None:
        """Take the status that an operator chose by dialling a service number."""
        operator = Operator.objects.filter(extension=event.extension).first()
        try:
            if operator is None:
                raise Refused("UNKNOWN", "No such operator.")
            if event.status == "ready":
                agents.ready(operator.pk)
            else:
                agents.set_status(operator.pk, event.status, reason="service number")
        except (Refused, ValidationError) as error:
            log.warning("Extension %s dialled for “%s”: %s", event.extension, event.status, error)

    def _found(self, node: Node, line: Line) -> None:
        now = clock.now()
        Node.objects.filter(pk=node.pk).update(
            connected=True,
            core_uuid=line.core_uuid,
            connected_at=now,
            last_event_at=now,
            blocked_until=None,
            block_step=0,
            blocked_reason="",
        )
        node.refresh_from_db()
        log.info("Listening to switch %s, core %s.", node.name, line.core_uuid)
        verbs.wake()

    def _lost(self, node: Node) -> None:
        try:
            Node.objects.filter(pk=node.pk).update(connected=False)
        except db.Error as error:
            log.error("The loss of switch %s could not be noted: %s", node.name, error)

    def _note_phones(self, line: Line) -> None:
        self.phones_seen = time.monotonic()
        now = clock.now()  # before asking: an event that comes while the switch answers is the later news
        agents.set_registrations(line.registrations(), self.node.pk, now)

    def _note_heard(self, node: Node) -> None:
        self.seen = time.monotonic()
        node.last_event_at = clock.now()
        Node.objects.filter(pk=node.pk).update(last_event_at=node.last_event_at)
