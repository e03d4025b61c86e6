"""Workshops: an organiser makes one alone, participants find their places, a trainer sees who is stuck."""
