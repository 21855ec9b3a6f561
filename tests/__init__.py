"""Tests mirror the folders. Without a marker a test needs no Ray, no network and no model."""
