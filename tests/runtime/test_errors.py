"""Errors: any failure is one line."""

import pytest

from bench.runtime.errors import BenchError, one_line


def test_an_error_in_one_line_already_stays_as_it_is():
    error = BenchError("images.npz: found 3 rows, expected 4")
    with (
        pytest.raises(BenchError) as caught,
        one_line("images.npz: not readable", "expected an npz file"),
    ):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    "ending, said", [((), ""), (("expected an npz file",), "; expected an npz file")]
)
def test_another_failure_becomes_one_line_with_its_cause(ending, said):
    error = ValueError("no magic\nnumber")

    @one_line("images.npz: not readable", *ending)
    def read():
        raise error

    with pytest.raises(BenchError) as caught:
        read()
    assert str(caught.value) == f"images.npz: not readable (no magic number){said}"
    assert caught.value.__cause__ is error
