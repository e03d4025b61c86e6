"""What runs inside JupyterHub and around it on one machine. No science is imported here."""
