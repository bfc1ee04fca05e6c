"""Before any unit runs: hosts that are not ready, victims that are not fit, and which of them is to blame."""

import json
from collections import deque
from pathlib import Path

import pytest
from small_jobs import CODE, PGD, faulty, load, marked_digits, mend, run_here, statuses
from small_units import model

from raygrid.engine.executor import Outcome
from raygrid.engine.host import VictimHost
from raygrid.engine.preflight import Fault, _messages, preflight
from raygrid.engine.work import Preflight
from raygrid.errors import UsageError

HANG, LOST = "hang", "lost"


class Hosts:
    """Hosts that answer a preflight as the table says, or never, or die of it."""

    def __init__(self, answers, hosts=("h1",), ready=None):
        self.answers, self.hosts, self.now = answers, list(hosts), 0.0
        self.ready = {"h1": []} if ready is None else ready
        self.queues, self.tickets, self.checked = {}, 0, []

    def call(self, host, method, first, tables):
        self.tickets += 1
        self.queues.setdefault(host, deque()).append((self.tickets, first if method == "preflight" else None))
        return self.tickets

    def wait(self, seconds):
        self.now += seconds
        return [outcome for host in list(self.hosts) if (outcome := self._answer(host))]

    def _answer(self, host):
        queue = self.queues.get(host)
        if not queue or host not in self.ready:
            return None
        ticket, check = queue[0]
        answer = self.answers[check.model.victim.id] if check else self.ready[host]
        if answer == HANG:
            return None
        queue.popleft()
        if check:
            self.checked.append((host, check.model.victim.id))
        return Outcome(ticket, lost="it died") if answer == LOST else Outcome(ticket, answer)

    def replace(self, host):
        self.hosts[self.hosts.index(host)] = host = f"{host}'"
        self.ready[host] = []
        return host


def check_all(hosts):
    checks = [Preflight(model(name), "s", 10) for name in hosts.answers]
    preflight(hosts, checks, {"s": None}, "token", lambda: hosts.now)


def test_every_victim_is_tried_once():
    hosts = Hosts({name: [] for name in "abcde"}, ["h1", "h2"], {"h1": [], "h2": []})
    check_all(hosts)
    assert sorted(name for _, name in hosts.checked) == list("abcde")
    assert {host for host, _ in hosts.checked} == {"h1", "h2"}


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(UsageError) as caught:
        check_all(Hosts({"a": ["too wide"], "b": [], "c": ["too flat", "too slow"]}))
    assert caught.value.messages == ('victim "a": too wide', 'victim "c": too flat', 'victim "c": too slow')


def test_a_fault_is_told_once_and_with_the_defense_where_the_bare_victim_has_none():
    def told(*defended):
        return _messages(Fault('victim "a"', defense, what) for defense, what in defended)

    assert told(("noise", "random")) == ['victim "a" behind noise: random']
    assert told(("noise", "random"), ("jpeg", "random")) == ['victim "a" behind noise: random']
    assert told(("noise", "too wide"), ("", "too wide")) == ['victim "a": too wide']


def test_a_victim_whose_answers_differ_only_behind_its_defense_is_not_blamed(tmp_path):
    noisy = {"use": "noise", "sigma": 2.0}
    job = load(tmp_path, victims=["mnist-cnn"], defenses=["none", noisy], judge={"draws": 1})
    with pytest.raises(UsageError) as caught:
        run_here(job)
    (message,) = caught.value.messages
    assert message.startswith('victim "mnist-cnn" behind noise(sigma=2.0): output: two runs of one batch differ')


def test_a_victim_that_ends_its_host_is_named_and_no_other_with_it():
    with pytest.raises(UsageError) as caught:
        check_all(Hosts({"a": [], "b": LOST, "c": []}))
    assert caught.value.messages == ('victim "b": its host was lost in the preflight: it died',)


def test_a_victim_that_hangs_is_named_and_the_others_are_tried():
    hosts = Hosts({"a": HANG, "b": ["too wide"]})
    with pytest.raises(UsageError) as caught:
        check_all(hosts)
    assert caught.value.messages == (
        'victim "a": the preflight was not done after 900 s',
        'victim "b": too wide',
    )


def test_hosts_that_find_no_node_hold_nothing_up():
    hosts = Hosts({"a": [], "b": []}, ["pending", "h1"])
    check_all(hosts)
    assert hosts.checked == [("h1", "a"), ("h1", "b")]


@pytest.mark.parametrize(
    ("answer", "told"), [(["sees no folder"], "sees no folder"), (LOST, "could not start: it died")]
)
def test_a_host_that_is_not_fit_is_told_before_any_victim_is_tried(answer, told):
    hosts = Hosts({"a": []}, ready={"h1": answer})
    with pytest.raises(UsageError, match=told):
        check_all(hosts)
    assert not hosts.checked


def test_a_host_that_does_not_see_the_results_folder_says_that_it_must_be_shared(tmp_path):
    host = VictimHost(str(tmp_path / "elsewhere"))
    (message,) = host.ready(".staging/token")
    assert message.startswith(f"results: {tmp_path}/elsewhere on ")
    assert "a folder that all nodes share" in message
    assert not (tmp_path / "elsewhere").exists()


def test_a_host_with_a_gpu_that_torch_does_not_see_refuses_to_compute_on_the_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "token").touch()
    (message,) = VictimHost(str(tmp_path), "cuda").ready("token")
    assert "a GPU, and torch" in message
    assert "--gpus-per-host 0" in message


def left_behind(folder):
    return sorted(str(file.relative_to(folder)) for file in Path(folder).rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"target": f"{CODE}:FAULTS"}, 'faulty_victim.py holds no callable "FAULTS"'),
        ({"target": "nowhere.py:make"}, 'victim "faulty": target: no file'),
        ({"args": {"fault": "raise"}}, "missing 1 required positional argument: 'mended'"),
    ],
)
def test_a_victim_that_is_not_fit_is_refused_before_anything_is_computed_or_recorded(tmp_path, words, told):
    job = load(tmp_path, victims=["mnist-cnn", faulty(tmp_path, "raise", **words)])
    with pytest.raises(UsageError, match=told):
        run_here(job)
    assert not Path(job.results).exists()


@pytest.mark.parametrize("fault", ["raise", "nan"])
def test_a_sample_that_breaks_its_victim_in_the_preflight_is_an_error_row_and_refuses_nobody(tmp_path, fault):
    job = load(
        tmp_path, data=marked_digits(tmp_path, 3), victims=[faulty(tmp_path, fault)], attacks=[{**PGD, "eps": 0.1}]
    )
    assert run_here(job).state == "complete"
    (by_sample,) = statuses(job.results).values()
    assert {sample for sample, status in by_sample.items() if status == "error"} == {"3"}


@pytest.mark.parametrize("fault", ["raise", "nan", "flat"])
def test_a_victim_that_breaks_on_every_sample_is_refused(tmp_path, fault):
    data = marked_digits(tmp_path, slice(None))
    with pytest.raises(UsageError, match='victim "faulty"'):
        run_here(load(tmp_path, data=data, victims=[faulty(tmp_path, fault)]))
    mend(tmp_path)
    assert run_here(load(tmp_path, data=data, victims=[faulty(tmp_path, fault)])).state == "complete"


def test_a_refused_victim_leaves_what_earlier_runs_recorded(tmp_path):
    run_here(load(tmp_path, victims=["mnist-cnn"]))
    before = left_behind(tmp_path / "job")
    with pytest.raises(UsageError):
        run_here(load(tmp_path, victims=["mnist-cnn", faulty(tmp_path, "raise", target=f"{CODE}:FAULTS")]))
    assert left_behind(tmp_path / "job") == before
    assert json.loads((tmp_path / "job" / "status.json").read_text())["state"] == "complete"
