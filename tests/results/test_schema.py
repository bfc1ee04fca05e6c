"""The tables: what they hold from the first version on, and what they refuse."""

import pytest

from raygrid.results.columns import TYPES, table
from raygrid.results.schema import CRAFTS, EXAMPLES, INDEX, RUNS, TRIALS
from raygrid.results.trial_columns import STATUSES

PROMISED = """
unit_key craft_key sample_id metadata label target victim victim_sha256 defense defense_params attack attack_params goal
access awareness source info_level channel norm eps seed obtained status clean_prediction clean_correct prediction
confidence margin success success_stored draws draws_fooled attack_claimed certified_radius detected abstained linf l2 l1
l0 snr_db similarity edit_distance seconds device host error
"""


def test_trials_hold_what_was_promised_for_the_first_version():
    assert set(PROMISED.split()) <= set(TRIALS.arrow.names)


@pytest.mark.parametrize("kind", [TRIALS, CRAFTS, EXAMPLES, INDEX, RUNS], ids=lambda kind: kind.name)
def test_every_column_is_documented_nullable_and_named_once(kind):
    names = [column.name for column in kind.columns]
    assert all(kind.docs[name].endswith(".") for name in names)
    assert len(set(names)) == len(names)
    assert all(field.nullable for field in kind.arrow)
    assert {column.type for column in kind.columns} <= set(TYPES)


def test_columns_that_a_row_lacks_are_null():
    built = table([{"unit_key": "ab", "eps": 0.5}, {"unit_key": "ab", "seed": 3}], TRIALS)
    assert built.schema == TRIALS.arrow
    assert built.select(["eps", "seed"]).to_pylist() == [{"eps": 0.5, "seed": None}, {"eps": None, "seed": 3}]


def test_no_rows_make_an_empty_table_of_the_same_schema():
    assert table([], TRIALS).schema == TRIALS.arrow


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_is_taken(status):
    assert table([{"status": status}], TRIALS)["status"].to_pylist() == [status]


REFUSED = {
    "unknown column": ({"sucess": True}, 'no column "sucess"; did you mean "success"'),
    "unknown status": ({"status": "ok"}, "trials.status: one of robust, .* not 'ok'"),
    "a number for a label": ({"prediction": 5}, "trials.prediction: .*int"),
    "text for a number": ({"eps": "8/255"}, "trials.eps: "),
    "a fraction for a count": ({"draws": 2.5}, "trials.draws: "),
}


@pytest.mark.parametrize(("row", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses(row, message):
    with pytest.raises(ValueError, match=message):
        table([{"status": "robust"}, row], TRIALS)
