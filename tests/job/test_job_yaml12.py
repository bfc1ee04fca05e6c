import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raygrid.errors import UsageError
from raygrid.job.yaml12 import Mark, fraction, read_file, read_text, scalar


def read(text, path=""):
    return read_text(text, lambda line, column: Mark("f", line, column), path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-1.5E+2", -150.0),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("~", None),
        ("null", None),
        ("", None),
        ("True", True),
        ("no", "no"),
        ("off", "off"),
        ("y", "y"),
        ("8/255", "8/255"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2026-11-23", "2026-11-23"),
        ("torchvision:resnet18", "torchvision:resnet18"),
    ],
)
def test_plain_scalars_follow_the_core_schema_of_yaml_1_2(text, value):
    node = read(f"a: {text}")
    assert node.plain() == {"a": value}
    assert type(node.plain()["a"]) is type(value)


def test_quoted_scalars_are_texts():
    assert read("""["1", '~', "true"]""").plain() == ["1", "~", "true"]
    assert read("a: |-\n  5\n").plain() == {"a": "5"}


def test_the_yaml_1_1_directive_does_not_bring_its_rules_back():
    assert read("%YAML 1.1\n---\na: no\n").plain() == {"a": "no"}


def test_every_value_knows_its_path_its_position_and_that_of_its_key():
    root = read("grids:\n  g:\n    attacks:\n    - {use: pgd, eps: [1, 2]}\n")
    eps = root.value["grids"].value["g"].value["attacks"].value[0].value["eps"]
    assert eps.path == "grids.g.attacks[0].eps"
    assert (str(eps.key_at), str(eps.at)) == ("f:4:18:", "f:4:23:")
    assert eps.value[1].path == "grids.g.attacks[0].eps[1]"
    assert str(eps.value[1].at) == "f:4:27:"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "f:3:1: a: duplicate key; keep one of them"),
        ("a: {b: 1, b: 2}\n", "f:1:11: a.b: duplicate key; keep one of them"),
        ("a:\n\t- b\n", "f:2:1: not valid YAML: found character '\\t' that cannot start any token"),
        ("a: [1\n", "f:2:1: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: b: c\n", "f:1:5: not valid YAML: mapping values are not allowed here"),
        ("ab:\n  \x00c", "f:2:3: not valid YAML: the character U+0000 is not allowed"),
        ("a: !!python/object:os.system x", 'f:1:4: a: tags such as "tag:yaml.org,2002:python/object:os.system"'),
        ("a: !!str 5", 'f:1:4: a: tags such as "tag:yaml.org,2002:str"'),
        ("a: &x 1", "f:1:4: a: anchors (&name) and aliases (*name) are left out; write the value out"),
        ("a: *x", "f:1:4: a: anchors (&name) and aliases (*name) are left out; write the value out"),
        ("!x a: 1", 'f:1:1: tags such as "!x" are left out'),
        ("&x a: 1", "f:1:1: anchors (&name) and aliases (*name) are left out"),
        ("? [1]\n: 2\n", "f:1:3: a key must be a plain name"),
        ("a: 1\n---\nb: 2\n", "f:2:1: a second document; a job file holds one"),
        ("a: .inf", "f:1:4: a: must be a finite number, not .inf"),
        ("a: .nan", "f:1:4: a: must be a finite number, not .nan"),
        ("a: 1e999", "f:1:4: a: must be a finite number, not 1e999"),
        (f"a: {'9' * 5000}", "f:1:4: a: must be a finite number"),
        ("a: " + "[" * 60, "nested deeper than 40 levels"),
        ("[" * 20_000, "nested deeper than 40 levels"),
    ],
)
def test_what_is_refused_is_told_with_its_place(text, message):
    with pytest.raises(UsageError) as error:
        read(text)
    assert message in error.value.messages[0]
    assert len(error.value.messages) == 1


def test_all_duplicates_are_told_at_once():
    with pytest.raises(UsageError) as error:
        read("a: 1\na: 2\nb: {c: 1, c: 2}\n")
    assert [message.partition(" ")[0] for message in error.value.messages] == ["f:2:1:", "f:3:11:"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "job.yaml: no such file"),
        (b"", "job.yaml: the file is empty"),
        (b"# nothing\n", "job.yaml: the file is empty"),
        (b"\xff\xfea", "job.yaml: not UTF-8 text (invalid start byte at byte 0)"),
    ],
)
def test_a_file_that_can_not_be_read_is_named(tmp_path, content, message):
    path = tmp_path / "job.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        read_file(path)
    assert error.value.messages == (f"{tmp_path}/{message}",)


def test_a_folder_is_no_job_file(tmp_path):
    with pytest.raises(UsageError, match="is a folder; name a job file in it"):
        read_file(tmp_path)


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_bytes(b"\xef\xbb\xbfversion: 1\n")
    assert read_file(path).plain() == {"version": 1}


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(finite)
def test_any_finite_number_survives_its_own_text(value):
    assert scalar(repr(value)) == value


@given(st.integers(min_value=-(10**200), max_value=10**200))
def test_any_integer_survives_its_own_text(value):
    assert scalar(str(value)) == value


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**6), st.sampled_from(["", " "]))
def test_a_fraction_is_the_quotient(a, b, space):
    assert fraction(f"{a}{space}/{space}{b}") == a / b


@given(st.text(max_size=12))
def test_a_fraction_is_a_finite_number_or_nothing(text):
    value = fraction(text)
    assert value is None or math.isfinite(value)


@pytest.mark.parametrize("text", ["8/0", "8/0.0", "8", "/255", "8/", "8/2/2", "a/b", "8//2", "1e308/1e-308"])
def test_what_is_no_fraction_is_none(text):
    assert fraction(text) is None
