"""A lab: devices of several hosts, measured from one place.

A scheduler of dask knows the workers, a worker runs beside its devices, and a client asks the worker for sessions.
Nothing here imports dask before a lab is used; the extra ``lab`` installs it.
"""
