"""Texts that are no YAML, or YAML that reads as something else than what is written."""

import pytest

from tests.helpers.runs import ROOT

DEEP = 1000
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(8)
)

# what is wrong: (text, message)
CASES = {
    "no end": ("a: [1", "not valid YAML (line 1: "),
    "a tab": ("a:\n\tb: 1", "not valid YAML (line 2: found character '\\t'"),
    "no mapping": ("- 1", "expected a mapping of keys, found list"),
    "empty": ("", "expected a mapping of keys, found NoneType"),
    "a text": ("tiny", "expected a mapping of keys, found str"),
    "two documents": ("a: 1\n---\nb: 2", "not valid YAML (line 2: but found another document"),
    "code": (
        "x: !!python/object/apply:os.system [touch pwned]",
        "not valid YAML (line 1: could not determine a constructor for the tag",
    ),
    "another tag": ("x: !mine 1", "could not determine a constructor for the tag '!mine'"),
    "a set": ("metrics: !!set {fid, kid}", "could not determine a constructor for the tag"),
    "bytes": ("name: !!binary QQ==", "could not determine a constructor for the tag"),
    "a key twice": ("seed: 1\nname: x\nseed: 2", "line 3: the key 'seed' stands there twice"),
    "a key twice inside": ("bound: {K: [5], K: [10]}", "line 1: the key 'K' stands there twice"),
    "a setting twice": (
        "settings:\n  tiny: {}\n  tiny: {}",
        "line 3: the key 'tiny' stands there twice",
    ),
    "in base 60": ("moments: {draws: 1:30}", "found 1:30, which YAML reads as 90; expected 90, or"),
    "a fraction in base 60": ("x: 1:30.5", "found 1:30.5, which YAML reads as 90.5"),
    "in base 8": ("seed: 010", "found 010, which YAML reads as 8; expected 8, or the text '010'"),
    "no float": ("seed: !!float abc", "line 1: 'abc' is no value of type float"),
    "no integer": ("seed: !!int abc", "line 1: 'abc' is no value of type int"),
    "an empty integer": ('seed: !!int ""', "line 1: '' is no value of type int"),
    "no truth value": ("seed: !!bool maybe", "line 1: 'maybe' is no value of type bool"),
    "no date": ("seed: 2024-13-45", "line 1: '2024-13-45' is no value of type timestamp"),
    "no hour": ("seed: 2024-01-01 25:00:00", "is no value of type timestamp"),
    "a date": ("settings: 2024-01-01", "expected a list of setting names, found datetime.date"),
    "5000 digits": ("seed: " + "9" * 5000, "line 1: a number of 5000 characters; expected at most"),
    "5000 hexadecimal": ("seed: 0x" + "f" * 5000, "line 1: a number of 5002 characters"),
    "nested without end": ("a: " + "[" * DEEP + "]" * DEEP, "not valid YAML (nested too deeply)"),
    "mappings without end": (
        "{a: " * DEEP + "1" + "}" * DEEP,
        "not valid YAML (nested too deeply)",
    ),
    "inside itself": ("a: &a [*a]", "found more than 100000 values"),
    "a mapping inside itself": ("processes: &a {ddpm: *a}", "found more than 100000 values"),
    "a billion laughs": (LAUGHS, "found more than 100000 values"),
    "no such anchor": ("a: *b", "line 1: found undefined alias 'b'"),
    "a list as a key": ("? [a]\n: 1", "line 1: the key "),
    "a number as a key": ("1: 2", "line 1: the key '1' is no text"),
    "true as a key": ("on: 2", "line 1: the key 'on' is no text"),
    "a null character": ("seed: \0", "not valid YAML (unacceptable character #x0000"),
    "an entry of settings that is a list": ("settings: [[tiny]]", "unknown setting "),
    "an entry that is no list": ("metrics+: fid", "metrics+: expected a list, found 'fid'"),
    "an entry to no list": ("seed+: [1]", "seed+: expected a list seed to add to, found None"),
}


@pytest.mark.parametrize("case", CASES)
def test_experiments(case, tmp_path, refuse):
    text, message = CASES[case]
    (tmp_path / "bad.yaml").write_text(text)
    refuse(tmp_path, ["config", "--config", "bad.yaml"], message)


@pytest.mark.parametrize("case", ["a key twice inside", "in base 60", "no float", "inside itself"])
def test_overlays(case, tmp_path, refuse):
    text, message = CASES[case]
    (tmp_path / "bad.yaml").write_text(text)
    arguments = ["plan", "--config", ROOT / "params.yaml", "--configfile", "bad.yaml"]
    refuse(tmp_path, arguments, f"bad.yaml: {message}" if ":" not in message else message)


BYTES = {
    "UTF-16": "a: 1".encode("utf-16"),
    "Latin-1": "name: café".encode("latin1"),
    "noise": bytes(range(128, 256)),
}


@pytest.mark.parametrize("case", BYTES)
def test_bytes_that_are_no_utf8(case, tmp_path, refuse):
    (tmp_path / "bad.yaml").write_bytes(BYTES[case])
    refuse(
        tmp_path, ["config", "--config", "bad.yaml"], "'bad.yaml': not valid YAML ('utf-8' codec"
    )
