"""Types of the bodies about members, workspaces and sessions."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from edge.api.management.key_bodies import Dollars, Interval, Moment, Text
from edge.api.organization.member_answers import RoleName

Email = Annotated[str, Meta(min_length=3, max_length=254, pattern=r"\S")]
Password = Annotated[str, Meta(min_length=1, max_length=200)]
NewPassword = Annotated[str, Meta(min_length=12, max_length=200)]
Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\S")]
Slug = Annotated[str, Meta(min_length=1, max_length=50, pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*$")]
Token = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\S")]


class RoleBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a member becomes."""

    role: RoleName


class InvitationBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to invite."""

    email: Email
    role: RoleName


class WorkspaceFieldsBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be set of a workspace."""

    description: Annotated[str, Meta(max_length=500)] | None = None
    default_text_model: Annotated[str, Meta(max_length=200)] | None = None
    default_image_model: Annotated[str, Meta(max_length=200)] | None = None
    default_provider_sort: Literal["price", "throughput", "latency", "exacto"] | None = None
    io_logging_sampling_rate: Annotated[float, Meta(ge=0.0001, le=1)] | None = None
    io_logging_api_key_ids: Annotated[list[Annotated[int, Meta(ge=0, le=2**63 - 1)]], Meta(max_length=1_000)] | None = (
        None
    )
    is_data_discount_logging_enabled: bool | None = None
    is_observability_broadcast_enabled: bool | None = None
    is_observability_io_logging_enabled: bool | None = None


class NewWorkspaceBody(WorkspaceFieldsBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workspace to make."""

    name: Name
    slug: Slug


class WorkspaceChangeBody(WorkspaceFieldsBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to a workspace. A member that is absent stays as it is."""

    name: Name | None = None
    slug: Slug | None = None


class BudgetBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A budget."""

    limit_usd: Annotated[float, Meta(gt=0, description="Dollars, with at most nine decimals.")]
    include_byok_in_budgets: bool | None = None


class UsersBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Members of the organisation."""

    user_ids: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1, max_length=100)]


class SignInBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account and its password. `as_token` asks for a token in the answer instead of a cookie."""

    email: Email
    password: Password
    as_token: bool | None = None


class SignUpBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account to make. `invitation` is the token of one; the address is that of the invitation."""

    invitation: Token
    password: NewPassword
    first_name: Name | None = None
    last_name: Name | None = None
    as_token: bool | None = None


class SwitchBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The organisation to go to."""

    organization_id: Token


class PasswordBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new password. An account that has none yet has no old one."""

    old_password: Password | None = None
    new_password: NewPassword


class AcceptBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The token of an invitation."""

    invitation: Token


class OrganizationBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An organisation to make."""

    name: Name


class AuthCodeBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A code to make. `spawn_agent` and `spawn_cloud` are for OpenRouter's own products, and ignored."""

    callback_url: Annotated[str, Meta(min_length=1, max_length=2_000)] | None = None
    code_challenge: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    code_challenge_method: Literal["S256", "plain"] | None = None
    expires_at: Moment | None = None
    key_label: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\S")] | None = None
    limit: Dollars | None = None
    spawn_agent: str | None = None
    spawn_cloud: str | None = None
    usage_limit_type: Interval | None = None
    workspace_id: Text | None = None


class ExchangeBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A code, and what its challenge was made from."""

    code: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")]
    code_challenge_method: Literal["S256", "plain"] | None = None
    code_verifier: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")] | None = None
