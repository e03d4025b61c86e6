"""The signing broker: a service of the hub that signs addresses of providers for those who have the right."""
