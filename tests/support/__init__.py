"""Shared test harness: raw origins, programs under test, syslog sink and wire helpers."""
