"""The project's documents as programs: what their code blocks say is done, and has to come out as they say."""

from .blocks import PAGES, ROOT, Block, Page
from .samples import Samples

__all__ = ["PAGES", "ROOT", "Block", "Page", "Samples"]
