"""Receipts: the hash of a large file is taken once, and anew when it was touched."""

import hashlib

from polyhead.batch import receipts


def test_a_large_file_is_hashed_again_only_when_it_was_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(receipts, "LARGE", 4)
    path = tmp_path / "large"
    path.write_bytes(b"12345")
    first = receipts.fingerprint(path)
    before = receipts._hash_large.cache_info()
    assert receipts.fingerprint(path) == first == {"sha256": hashlib.sha256(b"12345").hexdigest(), "bytes": 5}
    assert receipts._hash_large.cache_info().hits == before.hits + 1
    path.write_bytes(b"54321!")
    assert receipts.fingerprint(path) == {"sha256": hashlib.sha256(b"54321!").hexdigest(), "bytes": 6}
