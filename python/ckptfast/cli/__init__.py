"""The command line: `python -m ckptfast`."""
