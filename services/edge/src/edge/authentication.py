"""Who calls: from the bearer token to the key and its organisation, from memory whenever that is possible.

Knowledge about a key comes from the published directory, and from the owner of the keys for those that the directory
does not have. It is *fresh* for a minute after it was last confirmed, and is used for a quarter of an hour when nobody can
confirm it; only a certain answer makes a 401 (A1 to A6 of the routing statements).

While the pepper is changed a token has two *names*, its digests under the current pepper and under the previous one. A key is
published under one of them; its owner is asked about both at once (S3).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol, TypeVar

from contracts import api_keys
from edge.domain.errors import (
    DependencyError,
    EdgeError,
    InvalidKeyError,
    MissingCredentialError,
    NotFoundError,
)
from edge.domain.principal import Key, Org, Principal
from edge.ports import KeyDirectory, KeyLookup

V = TypeVar("V")


class _Clock(Protocol):
    def monotonic(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Trust:
    """How long knowledge about keys lasts; seconds.

    Attributes:
        fresh_s: used without asking.
        stale_s: how long after that it is used when nobody answers.
        negative_s: how long an unknown key stays unknown.
        retry_s: pause after an unanswered question, for keys that are still good enough.
        timeout_s: how long a request waits for an answer, its turn included.
        lookups: keys that are asked about at the same time; all of them are in a few calls (A2).
        entries: keys that are remembered besides the directory, of each kind.
    """

    fresh_s: float = 60.0
    stale_s: float = 900.0
    negative_s: float = 5.0
    retry_s: float = 5.0
    timeout_s: float = 2.0
    lookups: int = 2_000
    entries: int = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    """A key and its organisation. `confirmed_s` is by the monotonic clock."""

    key: Key
    org: Org
    confirmed_s: float


class _Flight:
    """A question that is being asked. The future's result is None when the answer must not be used."""

    __slots__ = ("done", "overtaken")

    def __init__(self) -> None:
        self.done: asyncio.Future[_Known | EdgeError | None] = asyncio.get_running_loop().create_future()
        self.overtaken = False


class Authenticator:
    """Establishes who calls."""

    def __init__(
        self,
        directory: KeyDirectory,
        lookup: KeyLookup,
        *,
        clock: _Clock,
        random: Random,
        pepper: bytes,
        trust: Trust,
        previous_pepper: bytes | None = None,
        on_previous: Callable[[str, str], None] | None = None,
    ) -> None:
        """Make it.

        Args:
            directory: keys as they were published.
            lookup: asks their owner.
            clock: for how long knowledge lasts.
            random: for jitter.
            pepper: that digests are made with.
            trust: how long knowledge lasts.
            previous_pepper: that digests were made with before; None when none may be in use any more.
            on_previous: called with a key's digests under the previous and the current pepper when it is known by the former.
        """
        self._directory = directory
        self._lookup = lookup
        self._clock = clock
        self._random = random
        self._pepper = pepper
        self._previous_pepper = previous_pepper
        self._on_previous = on_previous
        self._trust = trust
        self._turns = asyncio.Semaphore(trust.lookups)
        self._answers: OrderedDict[str, _Known] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        # Revisions of directory entries that the owner of the keys says are gone: the directory is late there.
        self._gone: OrderedDict[str, int] = OrderedDict()
        self._flights: dict[str, _Flight] = {}
        self._quiet_until = 0.0

    async def authenticate(self, authorization: str | None, now_ms: int, *, may_ask: bool = True) -> Principal:
        """Establish who sends a request.

        Args:
            authorization: the header of that name.
            now_ms: Unix milliseconds.
            may_ask: whether the owner of the keys may be asked about a key that is not known; otherwise there is none.

        Raises:
            CredentialError: no usable key; for certain.
            DependencyError: nobody could say.
        """
        token = _bearer_token(authorization)
        try:
            api_keys.parse(token)
        except api_keys.MalformedKeyError:
            # Without any look-up: most of what is tried on the open Internet ends here (S2).
            raise InvalidKeyError from None
        digest = api_keys.digest(token, self._pepper)
        known = self._published(digest)
        if known is None:
            names: tuple[str, ...] = (digest,)
            if self._previous_pepper is not None:
                names = (digest, api_keys.digest(token, self._previous_pepper))
            known = await self._of_names(names, may_ask=may_ask)
        known.key.check_usable(now_ms)
        return Principal(known.key, known.org)

    def forget(self, digest: str) -> None:
        """The directory has news of a key: what was learnt of it before is void, answers under way included.

        A newer answer stays: while the directory reads its way up to the present, its news are old (A5).
        """
        key = self._directory.key(digest)
        answer = self._answers.get(digest)
        if answer is not None and (key is None or key.revision >= answer.key.revision):
            del self._answers[digest]
        if key is None or key.revision > self._gone.get(digest, -1):
            self._gone.pop(digest, None)
        self._unknown.pop(digest, None)
        flight = self._flights.get(digest)
        if flight is not None:
            flight.overtaken = True

    async def _of_names(self, names: tuple[str, ...], *, may_ask: bool) -> _Known:
        known = self._published_under(names[1:]) if names[0] not in self._answers else None
        if known is None:
            if not may_ask and self._best_of(names) is None:
                raise InvalidKeyError
            known = await self._confirmed(names)
        if self._on_previous is not None and known.key.looked_up_by != names[0]:
            self._on_previous(known.key.looked_up_by, names[0])
        return known

    def _published_under(self, names: Sequence[str]) -> _Known | None:
        return next((known for known in map(self._published, names) if known is not None), None)

    def _published(self, digest: str) -> _Known | None:
        """The directory's entry while it is fresh and nothing newer is known: the way of nearly every request."""
        key = self._directory.key(digest)
        if key is None or digest in self._answers or digest in self._gone:
            return None
        org = self._directory.org(key.org_id)
        age = self._directory.age_s()
        if org is None or age >= self._fresh_s(digest):
            return None
        return _Known(key, org, 0.0)

    async def _confirmed(self, names: tuple[str, ...]) -> _Known:
        known = self._best_of(names)
        now = self._clock.monotonic()
        fresh_s = self._fresh_s(names[0])
        if known is not None and now - known.confirmed_s < fresh_s:
            return known
        # News of either name void what was learnt of both.
        if all(now < self._unknown.get(name, now) for name in names):
            raise InvalidKeyError
        for name in names:
            self._unknown.pop(name, None)
        # From when it is no longer fresh, as `stale-if-error` of RFC 5861 counts: an outage is survived for the whole of it.
        usable = known if known is not None and now - known.confirmed_s < fresh_s + self._trust.stale_s else None
        if usable is not None and now < self._quiet_until:
            return usable
        try:
            async with asyncio.timeout(self._trust.timeout_s):
                return await self._ask_once(names)
        except (DependencyError, TimeoutError):
            if usable is None:
                raise DependencyError("accounts") from None
            self._quiet_until = self._clock.monotonic() + self._trust.retry_s
            return usable

    def _best_of(self, names: Sequence[str]) -> _Known | None:
        """What is known of the first name of which anything is: a key never goes back to a previous one."""
        return next((known for known in map(self._best, names) if known is not None), None)

    def _best(self, digest: str) -> _Known | None:
        """The newest of what the directory and earlier answers say, confirmed at the later of the two times."""
        answer = self._answers.get(digest)
        key = self._directory.key(digest)
        if key is not None and self._gone.get(digest, -1) >= key.revision:
            key = None
        if key is None:
            if answer is None:
                return None
            return _Known(answer.key, self._newest_org(answer.org), answer.confirmed_s)
        published_s = self._clock.monotonic() - self._directory.age_s()
        if answer is None:
            org = self._directory.org(key.org_id)
            return None if org is None else _Known(key, org, published_s)
        if answer.key.revision > key.revision:
            return _Known(answer.key, self._newest_org(answer.org), answer.confirmed_s)
        confirmed_s = max(published_s, answer.confirmed_s) if answer.key.revision == key.revision else published_s
        return _Known(key, self._newest_org(answer.org), confirmed_s)

    def _newest_org(self, org: Org) -> Org:
        published = self._directory.org(org.org_id)
        return published if published is not None and published.revision >= org.revision else org

    def _fresh_s(self, digest: str) -> float:
        """Between 90 and 110 % of the time, fixed for a key, so that they do not all become stale at once."""
        return self._trust.fresh_s * (0.9 + int(digest[:4], 16) / 0xFFFF * 0.2)

    async def _ask_once(self, names: tuple[str, ...]) -> _Known:
        """Ask the owner of the keys, once for all who wait for the same key."""
        while True:
            flight = self._flights.get(names[0])
            outcome = await (self._lead(names) if flight is None else asyncio.shield(flight.done))
            if isinstance(outcome, EdgeError):
                raise outcome
            if outcome is not None:
                return outcome
            # The one who asked went away, or the directory overtook the answer: look again.
            known = self._published_under(names)
            if known is not None:
                return known

    async def _lead(self, names: tuple[str, ...]) -> _Known | EdgeError | None:
        flight = _Flight()
        self._flights.update(dict.fromkeys(names, flight))
        outcome: _Known | EdgeError | None = None
        try:
            answered = await self._ask(names)
            if not flight.overtaken:
                outcome = answered
                self._remember(names, answered)
        finally:
            for name in names:
                del self._flights[name]
            flight.done.set_result(outcome)
        return outcome

    async def _ask(self, names: tuple[str, ...]) -> _Known | EdgeError:
        async with self._turns:
            try:
                key, org = await self._lookup.resolve(*names)
            except NotFoundError:
                return InvalidKeyError()
            except DependencyError as error:
                return error
        return _Known(key, org, self._clock.monotonic())

    def _remember(self, names: tuple[str, ...], outcome: _Known | EdgeError) -> None:
        if isinstance(outcome, _Known):
            name = outcome.key.looked_up_by
            for each in names:
                self._unknown.pop(each, None)
                if each != name:
                    self._lose(each)
            self._gone.pop(name, None)
            self._keep(self._answers, name, outcome)
        elif isinstance(outcome, InvalidKeyError):
            jitter = 0.8 + 0.4 * self._random.random()
            for each in names:
                self._keep(self._unknown, each, self._clock.monotonic() + self._trust.negative_s * jitter)
                self._lose(each)

    def _lose(self, digest: str) -> None:
        """There is no key with this digest, for certain."""
        self._answers.pop(digest, None)
        late = self._directory.key(digest)
        if late is not None:
            self._keep(self._gone, digest, late.revision)

    def _keep(self, entries: OrderedDict[str, V], digest: str, value: V) -> None:
        entries[digest] = value
        entries.move_to_end(digest)
        if len(entries) > self._trust.entries:
            entries.popitem(last=False)


def _bearer_token(authorization: str | None) -> str:
    if authorization is None:
        raise MissingCredentialError
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise MissingCredentialError
    return token
