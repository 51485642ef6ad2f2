"""The toolbox from a notebook: ``from bridge.loader import GlobalBridgeController``."""
