"""What the hub starts beside itself: each service is a package of its own, run with ``python -m``."""
