"""One request to a destination, and what its answer means. No error text of a library is let out: it may hold the address."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp

from metering.broadcast.domain.deliveries import Outcome, Verdict, outcome_of
from servicekit.public_http import PrivateAddressError, check_literal

USER_AGENT: Final = "turnpike-broadcast"
# Nothing in an answer matters but its status; a little is read so that the connection can be used again.
_ANSWER_BYTES: Final = 64 * 1024


class Exchanges:
    """Sends requests to addresses that customers chose."""

    def __init__(self, session: aiohttp.ClientSession, *, private: bool) -> None:
        """Make a client.

        Args:
            session: connects to public addresses only, unless `private`.
            private: whether addresses of private networks are let through.
        """
        self._session = session
        self._private = private

    async def send(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Send a request once; redirects are not followed."""
        try:
            if not self._private:
                check_literal(url)
            async with self._session.request(
                method, url, data=body, headers={**headers, "User-Agent": USER_AGENT}, allow_redirects=False
            ) as response:
                await response.content.read(_ANSWER_BYTES)
                return outcome_of(response.status, _retry_after_s(response.headers.get("Retry-After", "")))
        except TimeoutError:
            return Outcome(Verdict.FAILED, 0, "timeout")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Outcome(Verdict.FAILED, 0, _word(error))


def _retry_after_s(text: str) -> float | None:
    """Seconds that the destination asks for; a date is not read, the pauses grow anyway."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _word(error: BaseException) -> str:
    """Say in a word of ours why there was no answer."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and len(causes) < 5:
        causes.append(cause)
    if any(isinstance(each, PrivateAddressError) for each in causes) or isinstance(
        getattr(error, "os_error", None), PrivateAddressError
    ):
        return "private_address"
    if isinstance(error, ValueError):
        return "invalid_url"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "dns"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return "tls"
    if isinstance(error, asyncio.TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ClientConnectionError | OSError):
        return "connection"
    return "invalid_answer"
