"""What tests of dialects, and of those who speak them, have in common: example payloads, writers, collectors."""
