"""Doctor: why a signature does not fit, found by trying what goes wrong in practice.

A signature has four ingredients, and each has its usual mistakes. The mistakes of one ingredient are tried
together with those of the others, and the fewest that fit are told. What fits is no proof of who sent it, and
nothing is ever accepted for it.

    spelling    the digest as the header writes it down
    secret      the key, and what either side may have made of it
    message     the body or its content, and what may have become of it on its way
    encoder     one JSON value, as other people's encoders write it
    diagnosis   all of them together, and the algorithm -> `Diagnosis`
"""

from relay.core.doctor.diagnosis import Diagnosis, diagnose, sentence_of
from relay.core.doctor.variant import Mistake

__all__ = ["Diagnosis", "Mistake", "diagnose", "sentence_of"]
