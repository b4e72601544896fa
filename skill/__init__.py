"""Strop turns people's ratings and corrections into a better local model. This package imports nothing by itself."""
