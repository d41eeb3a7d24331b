"""The one name that all services of the product share: `service.namespace` in telemetry, the domain of error reasons."""

from typing import Final

NAMESPACE: Final = "turnpike"
