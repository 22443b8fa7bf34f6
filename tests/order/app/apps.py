"""The app of the rows that many write."""

from django.apps import AppConfig


class OrderConfig(AppConfig):
    name = "tests.order.app"
    label = "order"
