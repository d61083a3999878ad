"""Speaks the TWS wire protocol, so that everything runs without an IB account."""
