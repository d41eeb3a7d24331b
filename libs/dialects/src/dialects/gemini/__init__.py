"""The dialect of Google's Gemini API: generateContent and streamGenerateContent."""

from __future__ import annotations

from dialects.gemini.dialect import Gemini, GeminiStream

__all__ = ["Gemini", "GeminiStream"]
