"""Shared utilities: validation, warnings, texts, reports, batches of data."""
