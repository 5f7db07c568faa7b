"""The digests under which deliveries are known: they stand in files, so that no version may change them."""

from __future__ import annotations

from relay.spool.identity import conflict_digest_of, copy_digest_of, digest_of

FINGERPRINT = bytes(range(16))


def test_the_digests_are_those_of_files_that_exist() -> None:
    """Another digest would make every delivery that is remembered a new one."""
    assert digest_of("contoso", "id-1").hex() == "f2a335298c51fd481a57903fba10ba9f"
    assert conflict_digest_of("contoso", "id-1", FINGERPRINT).hex() == "2b55b6c1c6e683a47202e7d1d7706221"
    assert copy_digest_of("contoso", 7).hex() == "61dd421c4d2f13eda5f12717b0060d24"


def test_what_differs_has_another_digest() -> None:
    """Each part of an identity counts, and where it ends too."""
    digests = [
        digest_of("a", "b"),
        digest_of("ab", ""),
        digest_of("b", "a"),
        digest_of("copy", "7"),
        copy_digest_of("a", 7),
        copy_digest_of("a", 8),
        copy_digest_of("b", 7),
        conflict_digest_of("a", "b", FINGERPRINT),
        conflict_digest_of("b", "b", FINGERPRINT),
        conflict_digest_of("a", "a", FINGERPRINT),
        conflict_digest_of("a", "b", bytes(16)),
    ]
    assert len(set(digests)) == len(digests)
    assert {len(digest) for digest in digests} == {16}
