"""A seeded simulation of card traffic: honest people with habits, and labelled fraud among them."""

from engine.generator.config import GeneratorConfig
from engine.generator.source import LIVE, GeneratorSource

__all__ = ["LIVE", "GeneratorConfig", "GeneratorSource"]
