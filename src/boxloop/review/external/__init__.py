"""Corrections made in other tools."""
