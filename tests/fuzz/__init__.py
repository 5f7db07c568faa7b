"""The fuzzer of the pure core: what it asks of any bytes, what it starts from, and how it is run.

    oracle     what the standard library's parser says of a JSON text
    targets    the laws: each a function of any bytes, which raises when a law is broken
    seeds      what each target starts from, made of tests/deliveries and config/
    fuzz       one target under atheris, until its time is over
    __main__   all of them in turn (`make fuzz`), or one input again

The laws need no fuzzer: test_targets.py holds them against the seeds in every `make test`.
"""
