import pytest
from hypothesis import given
from hypothesis import strategies as st

from raygrid.errors import UsageError
from raygrid.job.overrides import apply_overrides, format_path, parse_path
from raygrid.job.reading import Mistakes
from raygrid.job.yaml12 import Mark, read_text

JOB = """
name: n
grids:
  g:
    data: imagenet-samples
    victims: [{use: a}, b]
    attacks: {use: pgd, eps: 1}
"""


def tree(text=JOB):
    return read_text(text, lambda line, column: Mark("f", line, column))


def overridden(*overrides):
    mistakes = Mistakes()
    root = apply_overrides(tree(), overrides, mistakes)
    return root, list(mistakes.error().messages)


keys = st.text(st.characters(exclude_characters=".[]=", exclude_categories=["Cs"]), min_size=1, max_size=6)
paths = st.builds(lambda key, rest: (key, *rest), keys, st.lists(keys | st.integers(0, 99), max_size=6))


@given(paths)
def test_a_path_survives_its_own_text(path):
    assert parse_path(format_path(path)) == path


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "[0]", "a[", "a[x]", "a[-1]", "a]", "a[0]b", "a[0]."])
def test_what_is_no_path_is_refused(text):
    with pytest.raises(UsageError, match="not a path such as"):
        parse_path(text)


scalars = st.none() | st.booleans() | st.integers(-(10**9), 10**9)


@given(
    st.lists(st.sampled_from(["data", "seed", "x", "budget"]), min_size=1, max_size=3, unique=True),
    scalars | st.lists(scalars, max_size=3),
)
def test_what_was_set_is_found_at_its_path(below, value):
    text = ".".join(["grids", "g", *below])
    yaml = {None: "null", True: "true", False: "false"}
    flat = value if isinstance(value, list) else [value]
    written = [yaml[item] if item is None or isinstance(item, bool) else str(item) for item in flat]
    root, messages = overridden(f"{text}={'[' + ', '.join(written) + ']' if isinstance(value, list) else written[0]}")
    assert messages == []
    node = root
    for step in parse_path(text):
        node = node.value[step]
    assert node.plain() == value
    assert node.path == text
    assert str(node.at) == "-s"


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("name=8/255", {"name": "8/255"}),
        ("name=a=b", {"name": "a=b"}),
        ("seed=[0, 1e-3]", {"seed": [0, 0.001]}),
        ("grids.g.data.limit=5", {"data": {"use": "imagenet-samples", "limit": 5}}),
        ("grids.g.victims[1].id=x", {"victims": [{"use": "a"}, {"use": "b", "id": "x"}]}),
        ("grids.g.victims[0]=c", {"victims": ["c", "b"]}),
        ("grids.g.attacks[0].eps=[1/255,2]", {"attacks": {"use": "pgd", "eps": ["1/255", 2]}}),
        ("grids.g.attacks.budget.queries=7", {"attacks": {"use": "pgd", "eps": 1, "budget": {"queries": 7}}}),
        ("grids.g.defenses={use: x}", {"defenses": {"use": "x"}}),
    ],
)
def test_an_override_changes_only_its_place(override, value):
    root, messages = overridden(override)
    assert messages == []
    expected = tree().plain()
    (expected["grids"]["g"] if override.startswith("grids") else expected).update(value)
    assert root.plain() == expected


def test_later_overrides_win():
    root, _ = overridden("name=a", "name=b")
    assert root.plain()["name"] == "b"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("name", "-s name: expected path=value, such as -s grids.imagenet.data.limit=5"),
        ("grids.G.data=x", '-s grids.G.data: there is no "G" in grids'),
        ("grid.h[0].x=1", '-s grid.h[0].x: there is no "h" in grid'),
        ("grids.g.defenses[0]=x", '-s grids.g.defenses[0]: there is no "defenses" in grids.g'),
        ("grids.g.victims[2]=x", "-s grids.g.victims[2]: grids.g.victims has 2 items, the first is [0]"),
        (
            "grids.g.victims.id=x",
            "-s grids.g.victims.id: grids.g.victims is a list; say which, as in grids.g.victims[0]",
        ),
        ("grids.g.data[1]=x", "-s grids.g.data[1]: grids.g.data is one value, not a list"),
        ("grids.g.attacks.eps.x=1", "-s grids.g.attacks.eps.x: grids.g.attacks.eps is 1, which has nothing below it"),
        (
            "name=[1",
            "-s name: not valid YAML: expected ',' or ']', but got '<stream end>'; while parsing a flow sequence",
        ),
        ("name={a: 1, a: 2}", "-s name.a: duplicate key; keep one of them"),
    ],
)
def test_what_can_not_be_applied_is_told_and_changes_nothing(override, message):
    root, messages = overridden(override)
    assert messages == [message]
    assert root.plain() == tree().plain()


def test_a_misspelled_grid_is_offered_its_nearest():
    mistakes = Mistakes()
    apply_overrides(tree("grids: {imagenet: {}}"), ["grids.imagnet.data=x"], mistakes)
    assert mistakes.error().messages[0].endswith('no "imagnet" in grids; did you mean "imagenet"?')
