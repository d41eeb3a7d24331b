"""What each call reaches, said for every one of them: a call that nobody said it of does not start (S10).

Who of an organisation may do what is decided at the edge, which names them (`actors.py`). Here it is decided what a call can reach at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pool import Default


class Reach(Enum):
    """What a call can reach."""

    ORGANIZATION = "the organisation that `org_id` names, and row-level security holds it to it"
    BEARER = "what the digest, state or signature in it is of, which only somebody with the secret can make"
    PERSON = "the user whom the edge has found by their session"
    ANYBODY = "nothing but an account, by its password, or the beginning of a sign-in"
    INSTALLATION = "every organisation: for operators and for services"


# Of all calls of a service, except for those below.
SERVICES: Final[Mapping[str, Reach]] = MappingProxyType(
    dict.fromkeys(
        (
            "AuditService", "ByokService", "ContentService", "DestinationService", "GuardrailService", "KeyService", "LeaseService",
            "MemberService", "OrgService", "PaymentService", "PresetService", "SessionService", "WorkspaceService",
        ),
        Reach.ORGANIZATION,
    )
)  # fmt: skip
CALLS: Final[Mapping[str, Reach]] = MappingProxyType(
    {
        "DestinationService/ListChangedDestinations": Reach.INSTALLATION,
        "DestinationService/ReportDeliveries": Reach.INSTALLATION,
        "KeyService/MoveKeys": Reach.BEARER,
        "KeyService/ResolveKey": Reach.BEARER,
        "KeyService/ResolveKeys": Reach.BEARER,
        "MemberService/AcceptInvitation": Reach.BEARER,
        "MemberService/FoundOrg": Reach.PERSON,
        "OrgService/CreateOrg": Reach.INSTALLATION,
        "PaymentService/HandlePaymentWebhook": Reach.BEARER,
        "ReconciliationService/ListLedgerUsage": Reach.INSTALLATION,
        "ReconciliationService/SumLedgerUsage": Reach.INSTALLATION,
        "SuspenseService/ListSuspended": Reach.INSTALLATION,
        "SuspenseService/ClearSuspended": Reach.INSTALLATION,
        "SessionService/BeginOidc": Reach.ANYBODY,
        "SessionService/ChangePassword": Reach.BEARER,
        "SessionService/EndSession": Reach.BEARER,
        "SessionService/ExchangeAuthCode": Reach.BEARER,
        "SessionService/FinishOidc": Reach.BEARER,
        "SessionService/ResolveSession": Reach.BEARER,
        "SessionService/SignIn": Reach.ANYBODY,
        "SessionService/SignUp": Reach.BEARER,
        "SessionService/SwitchOrg": Reach.BEARER,
    }
)


def reach_of(service: str, method: str) -> Reach | None:
    """What a call reaches; None where nobody has said it."""
    return CALLS.get(f"{service}/{method}", SERVICES.get(service))


def check_reaches(names: Iterable[str]) -> None:
    """Check that it is said of every call of these services, and that what reaches an organisation says which.

    Args:
        names: full names of services.

    Raises:
        ValueError: of some it is not.
    """
    pool = Default()
    problems = [problem for name in names for problem in problems_of(pool.FindServiceByName(name))]
    if problems:
        raise ValueError("; ".join(problems))


def problems_of(service: ServiceDescriptor) -> list[str]:
    """What is wrong with the calls of a service."""
    found = []
    for method in service.methods:
        reach = reach_of(service.name, method.name)
        if reach is None:
            found.append(f"{service.name}/{method.name} does not say what it reaches")
        elif reach is Reach.ORGANIZATION and "org_id" not in method.input_type.fields_by_name:
            found.append(f"{service.name}/{method.name} reaches an organisation and does not say which")
    return found
