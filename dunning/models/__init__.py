"""Dunning's rows: one case per unpaid invoice, the messages that were sent, the tasks handed to support.

Only `services.py` (cases, tasks) and `messages.py` change them. Amounts: int, minor units of `currency`. `account` is
the connected account ("" = the platform's own). No row holds a customer's name or address.
"""

from dunning.models.cases import CaseNote, DunningCase
from dunning.models.messages import Message
from dunning.models.service import ServiceState
from dunning.models.tasks import SupportTask
from dunning.models.templates import MessageTemplate

__all__ = ["CaseNote", "DunningCase", "Message", "MessageTemplate", "ServiceState", "SupportTask"]
