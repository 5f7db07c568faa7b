"""The benchmark: the relay beside a plain service, under the same load, in interleaved rounds of one run."""
