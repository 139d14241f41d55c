"""The one door through which the events of a switch come back: connect, catch up, then apply them in order.

Any number of listeners may run for a switch: one hears it, the others stand by and take over within seconds.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Sequence
from datetime import timedelta
from threading import Event as Flag
from threading import Thread
from typing import Any

from django import db
from django.core.exceptions import ValidationError
from django.db.models import Count, Q
from psycopg.errors import DeadlockDetected

from agents import actions as agents
from agents.models import Operator
from dialer import clock, verbs
from dialer.engine import calls, nodes
from dialer.engine.lease import Lease, LeaseLost
from dialer.engine.reconcile import Reconciler, end_gone
from dialer.errors import Refused
from dialer.esl.errors import AuthenticationFailed, EslError
from dialer.models import Attempt, Node
from dialer.switch import events
from dialer.switch.nodes import Line, SwitchNode

log = logging.getLogger(__name__)

QUIET = 0.2
"""Real seconds to wait for an event before the reconciler gets its turn."""
PHONES_EVERY = 10.0
"""Real seconds between two snapshots of the registrations: for operators added meanwhile, and events that were lost."""
PHONES_LAG = 1.0
"""Real seconds in which a phone that has left is gone from the switch's list as well (0.2 on an idle one)."""
STATUS_EVERY = 2.0
"""Real seconds between two questions how full the switch is."""
SEEN_EVERY = 1.0
"""Real seconds between two notes of "the switch was heard"."""
STAND_BY_EVERY = 1.0
"""Real seconds between two looks of a stand-by whether the switch is still heard."""
HANGS_AFTER = timedelta(seconds=30)
"""Real time after which one that should hear the switch, and has not noted so, is taken to hang."""
GONE_AFTER = 15.0
"""Real seconds after which a switch at whose address nothing listens is reckoned to run no more."""
SILENT_AFTER = timedelta(minutes=5)
"""Real time after which one that cannot be reached at all is."""
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Real seconds before the next attempts to connect; the last one repeats."""
TOLD_EVERY = 60
"""Failures to connect after which the log tells of one again."""


class Listener:
    """Listens to one switch, or stands by, until ``stopping`` is set."""

    def __init__(self, switch: SwitchNode, name: str = "") -> None:
        self.switch = switch
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        """Tells it from the other listeners of the same switch."""
        self.stopping = Flag()
        self.seen = 0.0
        self.phones_seen = 0.0
        self.phones_due = 0.0
        """When the next snapshot of the registrations is taken."""
        self.status_seen = 0.0
        self.legs = 0
        """Legs that the switch has begun since the last note."""
        self.refused_since: float | None = None
        """Since when nothing listens at the address of the switch."""

    def listen_until_stopped(self) -> None:
        """Take turns with other listeners of the switch, for as long as the database lets it."""
        while not self.stopping.is_set():
            try:
                self.node, _ = Node.objects.get_or_create(name=self.switch.name)
                with Lease(self.node.pk, self.name) as lease:
                    self._take_turns(lease)
            except LeaseLost:
                log.warning("Another listener may hear switch %s; standing by.", self.switch.name)
            except (db.OperationalError, db.InterfaceError) as error:
                log.error("The database does not answer (%s); again in 1 s.", error)
                db.connections.close_all()
                self.stopping.wait(1.0)
            finally:
                self._lost()

    def _take_turns(self, lease: Lease) -> None:
        failures, stands_by = 0, False
        while not self.stopping.is_set():
            if not lease.take():
                if not stands_by:
                    log.info("Standing by for switch %s.", self.switch.name)
                stands_by = True
                if self._hangs():
                    log.error("The listener of switch %s hangs: its right is taken away.", self.switch.name)
                    lease.take_away()
                self.stopping.wait(STAND_BY_EVERY)
                continue
            stands_by = False
            try:
                with self.switch.connect() as line:
                    failures, self.refused_since = 0, None
                    self._listen(line, lease)
            except EslError as error:
                pause = PAUSES[min(failures, len(PAUSES) - 1)]
                failures += 1
                level = logging.ERROR if isinstance(error, AuthenticationFailed) else logging.WARNING
                told = failures <= len(PAUSES) or failures % TOLD_EVERY == 0
                log.log(
                    level if told else logging.DEBUG, "Switch %s: %s; again in %s s.", self.switch.name, error, pause
                )
                self._lost()
                self._mind_gone(error)
                lease.give_up()  # another machine may reach the switch
                self.stopping.wait(pause)

    def _hangs(self) -> bool:
        """Tell whether the listener that has the right says no more that it hears the switch, nor that it does not.

        Once: from then on the switch counts as not heard, until whoever takes over has found it.
        """
        since = clock.now() - HANGS_AFTER * clock.FACTOR
        hanging = Node.objects.filter(pk=self.node.pk, connected=True, last_event_at__lt=since)
        return bool(hanging.update(connected=False))

    def _mind_gone(self, error: EslError) -> None:
        """End the calls of a switch that does not come back, so that nobody stays held by them.

        A refused connection tells that its process has ended; silence may be the network's, so it takes longer.
        """
        if not isinstance(error.__cause__, ConnectionRefusedError):
            self.refused_since = None
        elif self.refused_since is None:
            self.refused_since = time.monotonic()
        self.node.refresh_from_db()
        heard = self.node.last_event_at
        refused = self.refused_since is not None and time.monotonic() - self.refused_since >= GONE_AFTER
        if refused or heard is None or clock.real_age(heard) >= SILENT_AFTER:
            end_gone(self.node)

    def _listen(self, line: Line, lease: Lease) -> None:
        line.subscribe()  # from here on events are buffered; what they tell is applied last
        self.node.refresh_from_db()
        reconciler = Reconciler(self.node, line)
        reconciler.end_lost_cores()
        self._note_phones(line)
        reconciler.step(force=True)
        self._found(line)
        while not self.stopping.is_set():
            event = line.receive(0.0)
            if event is None:
                # Only with every event applied may the switch's answers be held against the ledger.
                reconciler.step()
                if time.monotonic() >= self.phones_due:
                    self._note_phones(line)
                if time.monotonic() - self.status_seen >= STATUS_EVERY:
                    self._note_status(line)
                event = line.receive(QUIET)
            if event is not None:
                self._apply(event, line)
            if time.monotonic() - self.seen >= SEEN_EVERY:
                lease.check()
                self._note_heard()

    def _apply(self, event: events.SwitchEvent, line: Line) -> None:
        try:
            try:
                self._take(event, line)
            except db.OperationalError as error:
                if not isinstance(error.__cause__, DeadlockDetected):
                    raise
                log.warning("An event met a deadlock and is applied again: %s", event)
                self._take(event, line)
        except (EslError, db.OperationalError, db.InterfaceError):
            raise
        except Exception:
            # One event that cannot be applied must not keep out those behind it; reconciliation makes up for it.
            log.exception("An event could not be applied: %s", event)

    def _take(self, event: events.SwitchEvent, line: Line) -> None:
        match event:
            case events.Registered():
                agents.set_registered(event.user, self.node.pk, True, event.at)
            case events.Unregistered():
                agents.set_registered(event.user, self.node.pk, False, event.at)
                # Another phone of his may still be registered; the switch's list tells, once it is up to date.
                self.phones_due = min(self.phones_seen + PHONES_EVERY, time.monotonic() + PHONES_LAG)
            case events.StatusWanted():
                self._wish(event)
            case events.Heartbeat() | events.LegDestroyed():
                pass
            case _:
                self.legs += isinstance(event, events.LegCreated)
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

    # --- what it notes of the switch ----------------------------------------------------------------------------

    def _found(self, line: Line) -> None:
        now = clock.now()
        changes: dict[str, Any] = {"blocked_until": None, "block_step": 0, "blocked_reason": ""}
        if status := self._status(line):
            changes |= status
        else:
            log.warning("Switch %s tells of its limits in unknown words: only ours are kept.", self.node.name)
        if self.node.core_uuid is not None and self.node.core_uuid != line.core_uuid:
            changes |= {"restarted_at": now, "rate": None}
        Node.objects.filter(pk=self.node.pk).update(
            connected=True,
            core_uuid=line.core_uuid,
            connected_at=now,
            last_event_at=now,
            listener=self.name,
            **changes,
        )
        self.node.refresh_from_db()
        self.legs = 0
        log.info("Listening to switch %s, core %s.", self.node.name, line.core_uuid)
        verbs.wake()

    def _lost(self) -> None:
        try:
            Node.objects.filter(name=self.switch.name, listener=self.name).update(connected=False, listener="")
        except db.Error as error:
            log.error("The loss of switch %s could not be noted: %s", self.switch.name, error)

    def _note_heard(self) -> None:
        """Note that the switch is heard, and took calls. Raises ``LeaseLost`` when another listener has noted so."""
        self.seen = time.monotonic()
        now = clock.now()
        if not Node.objects.filter(pk=self.node.pk, listener=self.name).update(last_event_at=now):
            raise LeaseLost
        self.node.last_event_at = now
        if self.legs:
            nodes.took_calls(self.node.pk, now)
            self.legs = 0

    def _note_phones(self, line: Line) -> None:
        self.phones_seen = time.monotonic()
        self.phones_due = self.phones_seen + PHONES_EVERY
        now = clock.now()  # before asking: an event that comes while the switch answers is the later news
        agents.set_registrations(line.registrations(), self.node.pk, now)

    def _note_status(self, line: Line) -> None:
        """Note how full the switch is and what it allows."""
        if status := self._status(line):
            del status["started_at"]  # known since it was found, and reckoned a little differently each time
            Node.objects.filter(pk=self.node.pk, listener=self.name).update(**status)

    def _status(self, line: Line) -> dict[str, Any]:
        """Return what the switch says of itself, as fields of its row; nothing in unknown words."""
        self.status_seen = time.monotonic()
        status = line.status()
        if status is None:
            return {}
        ringing = Q(operator_ringing_at__isnull=False, operator_ended_at__isnull=True)
        dialled = Q(subscriber_created_at__isnull=False, subscriber_ended_at__isnull=True)
        ours = Attempt.objects.live().filter(node=self.node)
        legs = ours.aggregate(operators=Count("pk", filter=ringing), subscribers=Count("pk", filter=dialled))
        return {
            "version": status.version,
            "ready": status.ready,
            "sessions": status.sessions,
            "sessions_of_others": max(0, status.sessions - sum(legs.values())),
            "sessions_per_second": status.sessions_per_second,
            "sessions_allowed": status.sessions_allowed,
            "rate_allowed": status.rate_allowed,
            "started_at": clock.now() - status.up * clock.FACTOR,
        }


def listen(switches: Sequence[SwitchNode], stopping: Flag) -> bool:
    """Listen to several switches, each in a thread of its own, until ``stopping`` is set.

    ``False`` when one of the threads failed: the others are ended too, for the process to be started again.
    """
    failed = Flag()

    def run(listener: Listener) -> None:
        try:
            listener.listen_until_stopped()
        except Exception:
            log.exception("The listener of switch %s failed.", listener.switch.name)
            failed.set()
        finally:
            stopping.set()
            db.connections.close_all()

    listeners = [Listener(switch) for switch in switches]
    for listener in listeners:
        listener.stopping = stopping
    threads = [Thread(target=run, args=(listener,), name=listener.switch.name) for listener in listeners]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(1)  # so that signals are handled meanwhile
    return not failed.is_set()
