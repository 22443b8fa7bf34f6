"""What the board shows."""

from django.db import models

import diffs


@diffs.register(permission="public")
class Airport(models.Model):
    """An airport that flights leave from or go to."""

    code = models.CharField(max_length=3, primary_key=True)
    city = models.CharField(max_length=40)
    local_time = models.DateTimeField(null=True, blank=True, help_text="What the clock in the hall shows.")

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return f"{self.city} ({self.code})"


@diffs.register(parent="origin", permission="public")
class Flight(models.Model):
    """A flight on the board of the airport that it leaves from."""

    class Status(models.TextChoices):
        """Where a flight is in its day."""

        SCHEDULED = "scheduled"
        DELAYED = "delayed"
        BOARDING = "boarding"
        DEPARTED = "departed"
        LANDED = "landed"
        CANCELLED = "cancelled"

    number = models.CharField(max_length=7, primary_key=True)
    airline = models.CharField(max_length=40)
    tail = models.CharField("aircraft", max_length=8, blank=True)
    origin = models.ForeignKey(Airport, models.CASCADE, related_name="departures")
    destination = models.ForeignKey(Airport, models.CASCADE, related_name="arrivals")
    scheduled = models.DateTimeField()
    expected = models.DateTimeField(help_text="When it leaves, or left.")
    status = models.CharField(max_length=9, choices=Status, default=Status.SCHEDULED)
    landed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["scheduled", "number"]

    def __str__(self) -> str:
        return f"{self.number} to {self.destination_id}"
