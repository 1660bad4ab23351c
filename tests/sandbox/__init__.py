"""Tests of the stand-in platform, over real HTTP."""
