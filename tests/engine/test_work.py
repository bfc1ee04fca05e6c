"""What runs next: the backlog's policy, without hosts, clocks or models."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_units import craft, keys, model, score, task, white_box

from raygrid.engine.work import LOAD_SECONDS, TARGET_SECONDS, Backlog, plan_tasks
from raygrid.units import Fit, ShardRef


def backlog_of(*tasks, seconds=None):
    backlog = Backlog(seconds=dict(seconds or {}))
    for each in tasks:
        backlog.add(each)
    return backlog


def waiting(key, tasks):
    """A backlog of tasks that need the unit of this key."""
    backlog = Backlog(missing={key})
    for each in tasks:
        backlog.place(each._replace(needs=(key,)))
    return backlog


def many(n, of="m", kind="k"):
    return [task(f"{of}{i}", of, kind) for i in range(n)]


def test_a_host_stays_with_the_model_that_it_has_loaded():
    backlog = backlog_of(*many(1, "small"), *many(100, "large"))
    assert backlog.choose("small", {"large": 1}) == "small"


def test_a_new_host_takes_the_longest_lane_that_nobody_serves():
    backlog = backlog_of(*many(9, "served"), *many(2, "short"), *many(3, "long"))
    assert backlog.choose(None, {"served": 1}) == "long"


def test_an_idle_host_joins_where_the_most_work_is_left_for_each_host():
    backlog = backlog_of(*many(30, "crowded"), *many(20, "calm"), seconds={"k": 1.0})
    assert backlog.choose("done", {"crowded": 3, "calm": 1}) == "calm"


@pytest.mark.parametrize(("seconds", "joins"), [(2 * LOAD_SECONDS + 0.1, True), (2 * LOAD_SECONDS - 0.1, False)])
def test_an_idle_host_joins_only_where_its_share_outweighs_loading_the_model(seconds, joins):
    backlog = backlog_of(task("last"), seconds={"k": seconds})
    assert backlog.choose(None, {"m": 1}) == ("m" if joins else None)


def test_nothing_is_chosen_where_nothing_can_start():
    backlog = waiting("craft", many(3))
    assert backlog.choose(None, {}) is None


def test_tasks_of_unknown_time_go_one_at_a_time():
    backlog = backlog_of(*many(5))
    assert len(backlog.take("m", 1)) == 1


def test_a_task_of_unknown_time_ends_the_batch_before_it():
    backlog = backlog_of(*many(3, kind="known"), task("new", kind="unknown"), seconds={"known": 0.1})
    assert keys(backlog.take("m", 1)) == ["score-m0", "score-m1", "score-m2"]
    assert keys(backlog.take("m", 1)) == ["score-new"]


def test_a_batch_fills_the_target_and_no_more():
    backlog = backlog_of(*many(1000), seconds={"k": 1.0})
    assert len(backlog.take("m", 1)) == TARGET_SECONDS


def test_a_task_longer_than_the_target_goes_alone():
    backlog = backlog_of(*many(9), seconds={"k": 10 * TARGET_SECONDS})
    assert len(backlog.take("m", 1)) == 1


def test_batches_shrink_at_the_tail_so_that_all_hosts_end_together():
    backlog = backlog_of(*many(40), seconds={"k": 1.0})
    sizes = []
    while backlog.waiting:
        sizes.append(len(backlog.take("m", 2)))
    assert sizes[0] == 40 / (2 * 2)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1


def test_the_time_of_a_kind_follows_what_tasks_take():
    backlog, one = Backlog(), task("a")
    backlog.learn(one, 4.0)
    assert backlog.seconds["k"] == 4.0
    backlog.learn(one, 2.0)
    assert backlog.seconds["k"] == 3.0


def test_what_comes_back_from_a_lost_host_goes_first():
    backlog = backlog_of(*many(2))
    backlog.add(task("back"), first=True)
    assert keys(backlog.take("m", 1)) == ["score-back"]


def test_blocked_tasks_can_start_once_their_examples_are_there():
    backlog = waiting("craft", many(2))
    assert backlog.waiting == 2
    backlog.release("craft")
    backlog.release("craft")  # a zombie may report it again
    assert backlog.waiting == 2
    assert keys(backlog.take("m", 1)) == ["score-m0"]


def test_blocked_tasks_are_given_up_with_their_examples():
    backlog = waiting("craft", many(2))
    assert keys(backlog.drop("craft")) == ["score-m0", "score-m1"]
    assert backlog.waiting == 0
    assert not list(backlog.tasks())


def test_a_task_waits_for_all_that_it_needs_whatever_comes_first():
    backlog = Backlog(missing={"x", "y"})
    backlog.place(task("a")._replace(needs=("x", "y")))
    backlog.release("y")
    assert backlog.waiting == 1 and backlog.choose(None, {}) is None
    backlog.release("x")
    assert keys(backlog.take("m", 1)) == ["score-a"]


def test_what_waits_for_a_task_that_is_given_up_is_given_up_with_it():
    middle = task("middle")._replace(needs=("fit",))
    backlog = Backlog(missing={"fit", middle.units[0].key})
    backlog.place(middle)
    backlog.place(task("last")._replace(needs=(middle.units[0].key,)))
    assert keys(backlog.drop("fit")) == ["score-middle", "score-last"]
    assert backlog.waiting == 0


def test_what_needs_a_unit_that_failed_is_given_up_whatever_else_it_waits_for():
    backlog = Backlog(missing={"craft", "fit"})
    backlog.place(task("a")._replace(needs=("craft", "fit")))
    assert keys(backlog.drop("fit")) == ["score-a"]
    backlog.release("craft")
    assert backlog.waiting == 0 and not list(backlog.tasks())


def test_an_attack_on_a_defense_that_is_fitted_is_fitted_after_it():
    of_defense = Fit("fit-d", model("bare"), craft("x").attack, 0, ShardRef("apart", 4), 10)
    defended = model("defended")._replace(fit=of_defense)
    of_attack = Fit("fit-a", defended, craft("x").attack, 0, ShardRef("apart", 4), 10)
    made = craft("c")._replace(model=defended, fit=of_attack)
    backlog = plan_tasks([score("s", made)._replace(model=defended)], set(), set())
    assert [task.units for lane in backlog.lanes.values() for task in lane.tasks] == [(of_defense,)]
    backlog.release("fit-d")
    assert [task.units[0].key for lane in backlog.lanes.values() for task in lane.tasks][-1] == "fit-a"


def test_a_model_judges_its_own_examples_in_the_task_that_makes_them():
    unit = white_box("a")
    (only,) = plan_tasks([unit], set(), set()).tasks()
    assert only.units == (unit.craft, unit)


def test_examples_are_crafted_once_and_then_judged_by_each_model_in_a_task_of_its_own():
    source = craft("x", of="source")
    scores = [score(name, source, on=name) for name in ("a", "b")]
    backlog = plan_tasks(scores, set(), set())
    assert keys(backlog.take("source", 1)) == ["craft-x"]
    assert backlog.choose(None, {}) is None
    backlog.release("craft-x")
    assert {name: keys(backlog.take(name, 1)) for name in ("a", "b")} == {"a": ["score-a"], "b": ["score-b"]}


def test_what_is_done_is_not_planned_again():
    source = craft("x", of="source")
    scores = [score("own", source), score("other", source, on="b"), score("own", source)]
    assert plan_tasks(scores, {s.key for s in scores}, {source.key}).waiting == 0
    assert keys(plan_tasks(scores, {"score-own"}, {source.key}).take("b", 1)) == ["score-other"]
    assert keys(plan_tasks(scores, {"score-other"}, {source.key}).tasks()) == ["score-own"]


def test_crafted_examples_are_judged_without_crafting_them_again():
    unit = white_box("a")
    (only,) = plan_tasks([unit], set(), {unit.craft.key}).tasks()
    assert only.units == (unit,)


def test_a_unit_that_two_grids_share_is_planned_once():
    unit = white_box("a")
    assert plan_tasks([unit, unit], set(), set()).waiting == 1


def test_what_is_fitted_goes_first_and_once():
    fit = Fit("fit-f", model("m"), craft("x").attack, 0, ShardRef("apart", 4), 10)
    units = [score(name, craft(name)._replace(fit=fit)) for name in ("a", "b")]
    backlog = plan_tasks(units, set(), set())
    (first,) = backlog.take("m", 1)
    assert first.units == (fit,) and first.shard == "apart"
    assert backlog.choose(None, {}) is None
    backlog.release("fit-f")
    assert sorted(keys(backlog.tasks())) == ["score-a", "score-b"]
    assert sorted(keys(plan_tasks(units, set(), set(), {"fit-f"}).tasks())) == ["score-a", "score-b"]


def test_a_defense_that_is_fitted_holds_up_those_it_defends_and_no_others():
    fit = Fit("fit-d", model("bare"), craft("x").attack, 0, ShardRef("apart", 4), 10)
    defended = score("d", craft("d", of="defended"))
    defended = defended._replace(
        model=defended.model._replace(fit=fit), craft=defended.craft._replace(model=defended.model._replace(fit=fit))
    )
    backlog = plan_tasks([defended, white_box("w", of="other")], set(), set())
    assert {lane for lane, found in backlog.lanes.items() if found.tasks} == {"bare", "other"}
    assert keys(backlog.blocked["fit-d"]) == ["score-d"]


NEEDS = st.sampled_from([(), ("x",), ("y",), ("x", "y"), ("y", "x")])
PLACES = st.tuples(st.sampled_from("mno"), st.sampled_from(["k", "l"]), NEEDS)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from([None, "m", "n", "o"]), st.integers(0, 3)),
        st.tuples(st.just("learn"), st.sampled_from(["k", "l"]), st.floats(0, 60)),
        st.tuples(st.just("release"), st.sampled_from("xy"), st.none()),
        st.tuples(st.just("return"), st.none(), st.none()),
    )
)


@given(st.lists(PLACES, max_size=30), STEPS)
def test_every_task_is_handed_out_exactly_once_whatever_the_interleaving(places, steps):
    backlog = Backlog(missing={"x", "y"})
    for i, (of, kind, needs) in enumerate(places):
        backlog.place(task(str(i), of, kind)._replace(needs=needs))
    out = []
    for what, which, value in [*steps, ("release", "x", None), ("release", "y", None)]:
        if what == "take" and (lane := backlog.choose(which, {which: value} if which else {})):
            batch = backlog.take(lane, value)
            assert batch
            out += batch
        elif what == "learn":
            backlog.learn(task("any", kind=which), value)
        elif what == "release":
            backlog.release(which)
        elif what == "return" and out:
            backlog.add(out.pop(), first=True)
        assert backlog.waiting == len(list(backlog.tasks())) == len(places) - len(out)
    while lane := backlog.choose(None, {}):
        out += backlog.take(lane, 1)
    assert sorted(keys(out)) == sorted(f"score-{i}" for i in range(len(places)))
    assert backlog.waiting == 0
