"""The lab's Dask Gateway on one machine: ``python -m earthlab.services.gateway``, started and stopped by the hub."""
