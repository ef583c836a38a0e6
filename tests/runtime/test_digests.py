"""What a digest depends on."""

from bench.runtime import digests


def test_digest_of_a_folder_sees_names_and_bytes(tmp_path):
    (tmp_path / "a").write_text("1")
    first = digests.digest_of(tmp_path)
    (tmp_path / ".hidden").write_text("2")
    assert digests.digest_of(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert digests.digest_of(tmp_path) != first
