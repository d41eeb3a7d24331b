"""A router's inside over providers of any dialect, and a certificate that nobody trusts."""

from __future__ import annotations

import ssl
import subprocess
from contextlib import AsyncExitStack

import pytest

from router.attempt import Patience
from router.testing.catalogs import Offer
from router.testing.native_bench import OpenNativeBench, Place, Reached
from router.testing.scripted_provider import ScriptedProvider
from router.testing.workbench import PATIENCE, OpenWorkbench


@pytest.fixture
def native_bench(stack: AsyncExitStack, workbench: OpenWorkbench) -> OpenNativeBench:
    """Makes a router's inside over providers a, b, c ... of rising prices, each in its dialect."""

    async def open_bench(*by_price: Place, patience: Patience = PATIENCE) -> Reached:
        providers: list[ScriptedProvider] = []
        offers = []
        for number, (slug, place) in enumerate(zip("abcdef", by_price, strict=False), start=1):
            origin = place.at
            if not isinstance(origin, str):
                provider = await stack.enter_async_context(ScriptedProvider(origin))
                providers.append(provider)
                origin = provider.origin
            offers.append(
                Offer(
                    slug,
                    url=origin + place.wire.base_path,
                    dialect=place.wire.dialect,
                    prompt=f"0.00000{number}",
                    cached=f"0.0000001{number}",
                    context_length=8192 * number,
                )
            )
        router = await stack.enter_async_context(workbench(*offers, patience=patience))
        return Reached(router, providers)

    return open_bench


@pytest.fixture(scope="session")
def strange_tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's context with a self-signed certificate for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
