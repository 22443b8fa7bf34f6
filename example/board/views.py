"""The page, and the list that it loads once."""

import math
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from board.models import Airport, Flight
from board.timetable import ORIGINS
from diffs.errors import StoreUnavailable

FIELDS = ["number", "airline", "tail", "origin", "destination", "scheduled", "expected", "status", "landed_at"]


@require_safe
def board(request: HttpRequest) -> HttpResponse:
    """The page; its rows come from `flights`, and from then on from diffs."""
    cities = dict(Airport.objects.values_list("code", "city"))
    feeds = urlencode([("feed", f"@board.airport:{code}") for code in ORIGINS])
    addresses = {"list": reverse("flights"), "pull": f"{reverse('diffs:feeds')}?{feeds}"}
    return render(request, "board/board.html", {"addresses": addresses, "cities": cities, "origins": ORIGINS})


@require_safe
@never_cache
def flights(request: HttpRequest) -> JsonResponse:
    """All flights, and the cursors from which the diffs go on."""
    try:
        # Before the rows are read: a change in between is then seen twice, and never missed.
        cursors = {code: Airport.diffs.for_object(code).cursor for code in ORIGINS}
    except StoreUnavailable as error:
        problem = {"title": "Redis is away: there is nothing to go on from."}
        return JsonResponse(problem, status=503, headers={"Retry-After": math.ceil(error.retry_after)})
    clocks = dict(Airport.objects.filter(code__in=ORIGINS).values_list("code", "local_time"))
    document = {
        "airports": [
            {"code": code, "feed": f"board.airport:{code}", "cursor": cursor, "local_time": clocks.get(code)}
            for code, cursor in cursors.items()
        ],
        "flights": list(Flight.objects.filter(origin__in=ORIGINS).values(*FIELDS)),
    }
    return JsonResponse(document, json_dumps_params={"separators": (",", ":")})
