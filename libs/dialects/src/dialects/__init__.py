"""Chat dialects as pure conversions: no input, no output, no clock."""
