"""Benchmarks: ckptfast beside TensorFlow and beside the raw speed of the machine.

Run from the project root, with the interpreter of the project's environment::

    python -m benches                     # everything, about ten minutes, about 12 GiB of memory
    python -m benches --size smoke        # tiny sizes: does it run, are the values right?
    python -m benches --only restore cold --markdown table.md

``docs/benchmarks.md`` says what every row means.
"""
