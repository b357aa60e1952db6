"""A stateful stand-in for Stripe's API on loopback. See README.md. Imports nothing of the project."""

from .api import RequestRecord
from .client import SandboxControl
from .faults import Fault
from .server import SandboxServer
from .webhooks import sign_payload

__all__ = ["Fault", "RequestRecord", "SandboxControl", "SandboxServer", "sign_payload"]
