"""The admin: what is edited here shows on every open board at once."""

from django.contrib import admin

from board.models import Airport, Flight

admin.site.site_header = admin.site.site_title = "Departures"


@admin.register(Airport)
class AirportAdmin(admin.ModelAdmin):
    """Airports."""

    list_display = ["code", "city", "local_time"]
    search_fields = ["code", "city"]


@admin.register(Flight)
class FlightAdmin(admin.ModelAdmin):
    """Flights, with their status editable in the list."""

    list_display = ["number", "origin", "destination", "status", "scheduled", "expected"]
    list_editable = ["status"]
    list_filter = [("origin", admin.RelatedOnlyFieldListFilter), "status"]
    list_per_page = 50
    list_select_related = ["origin", "destination"]
    search_fields = ["number", "airline", "destination__city"]

    def get_readonly_fields(self, request, obj=None):
        """Keep the number of a flight: another primary key would be another flight."""
        return ["number"] if obj else []
