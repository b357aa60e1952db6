"""What the gate tells the rest of the house. Receivers run inside the transition's transaction: a receiver that raises
undoes the step, so it does little (its own row's state, a line in the timeline, an enqueue)."""

from django.dispatch import Signal

# sent with sender=Suggestion, suggestion, previous (state or None when proposed), actor, reason
suggestion_changed = Signal()
