from dunning.contact.models.complaints import Complaint
from dunning.contact.models.preferences import ContactPreference
from dunning.contact.models.replies import Receipt, Reply

__all__ = ["Complaint", "ContactPreference", "Receipt", "Reply"]
