from __future__ import annotations

import pytest

from approvals.admin import story_pdf
from approvals.admin.story import Story


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Story]:
    """What PDFs were made of, in order; they are drawn nevertheless."""
    stories: list[Story] = []
    whole = story_pdf.render

    def render(story: Story) -> bytes:
        stories.append(story)
        return whole(story)

    monkeypatch.setattr(story_pdf, "render", render)
    return stories
