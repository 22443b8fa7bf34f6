"""The admin: what is edited here shows on every open board at once."""

from django.contrib import admin

from board.models import Airport, Flight


@admin.register(Airport)
class AirportAdmin(admin.ModelAdmin):
    """Airports."""

    list_display = ["code", "city", "local_time"]
    search_fields = ["code", "city"]


@admin.register(Flight)
class FlightAdmin(admin.ModelAdmin):
    """Flights, with what changes most editable in the list."""

    list_display = ["number", "airline", "origin", "destination", "scheduled", "expected", "status"]
    list_editable = ["expected", "status"]
    list_filter = ["origin", "status"]
    list_per_page = 50
    list_select_related = ["origin", "destination"]
    search_fields = ["number", "airline", "destination__city"]

    def get_readonly_fields(self, request, obj=None):
        """Keep the number of a flight: another primary key would be another flight."""
        return ["number"] if obj else []
