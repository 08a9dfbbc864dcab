"""A stand-in for the site: the real extractor runs against it, unpatched, without a network.

START READING at `scenarios.py` for what can be asked, at `origin.py` for how a test holds it.
"""
