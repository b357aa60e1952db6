"""What no address of ours contains is refused at the door: PostgreSQL's texts cannot hold a NUL, and a page that looks
for one would answer with a server error."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBadRequest, JsonResponse
from django.http.response import HttpResponseBase

WORDS = "The address contains a NUL character, which no id and no name does. Nothing was done."


def refuse_nul(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: 400 for a NUL in the path or the query."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        query = request.META.get("QUERY_STRING", "")
        if "\x00" in request.path_info or "\x00" in query or "%00" in query:
            if request.path_info.startswith("/api/"):
                return JsonResponse({"error": {"code": "invalid_input", "message": WORDS}}, status=400)
            return HttpResponseBadRequest(WORDS, content_type="text/plain; charset=utf-8")
        return get_response(request)

    return answer
