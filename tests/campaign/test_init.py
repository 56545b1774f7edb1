import subprocess
import sys
from pathlib import Path

import pytest
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from ruamel.yaml import YAML

from boxloop import cli
from boxloop.campaign import init
from boxloop.errors import DatasetError, ParamsError, UserError
from boxloop.params import load_params
from builders_datasets import coco, image, text
from builders_program import run_program

DEMO = ("dataset.format=demo", "train.weights=none", "features.weights=none")


@pytest.fixture(autouse=True)
def no_repository_around(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))


def create(folder, *overrides, params=None, batches=None, data=None):
    init.create(folder, params=params, batches=batches, overrides=overrides, data=data)
    return folder


def git(folder, *arguments):
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True).stdout


def test_a_new_campaign_is_ready_for_dvc(tmp_path):
    folder = create(tmp_path / "new" / "campaign", *DEMO, "order.seed=7", batches=3)
    params = load_params(folder / "params.yaml")
    assert list(params.iterations) == ["b00", "b01", "b02"]
    assert params.order.seed == 7
    assert (folder / ".git").is_dir()
    config = (Path(__file__).parents[2] / ".dvc" / "config").read_text()
    assert (folder / ".dvc" / "config").read_text() == config
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--all"], cwd=folder, capture_output=True
    )
    assert b"finish@b02" in listed.stdout
    # What the demo is drawn by lies elsewhere in every installation.
    assert params.dataset.path.endswith("demo_scenes.py")


def test_nothing_is_reported_to_the_makers_of_dvc(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_NO_ANALYTICS")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    create(tmp_path / "c", *DEMO)
    assert list((tmp_path / "temporary").iterdir()) == []  # where DVC puts what it sends


@pytest.mark.parametrize("name", ["street signs", "2024", "2024-05-01", "no", "Größe", 'a"b: #c'])
def test_a_campaign_is_called_by_its_folder(tmp_path, name):
    params = load_params(create(tmp_path / name, *DEMO) / "params.yaml")
    assert (params.track.campaign, params.report.title) == (name, name)


@pytest.mark.parametrize("name", ["a${b}", "a{b", "up}/campaign"])
def test_a_folder_in_which_dvc_cannot_work_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="has a brace in its path, where DVC cannot work"):
        create(tmp_path / name, *DEMO)
    assert list(tmp_path.iterdir()) == []


def test_the_next_line_can_be_pasted(tmp_path, monkeypatch, capsys):
    sets = [part for override in DEMO for part in ("--set", override)]
    monkeypatch.setattr("sys.argv", ["boxloop", "init", str(tmp_path / "it's $new"), *sets])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    [line] = [said for said in capsys.readouterr().out.splitlines() if said.startswith("  cd ")]
    done = subprocess.run(["sh", "-ec", f"{line}\nls params.yaml"], capture_output=True, text=True)
    assert done.stdout == "params.yaml\n"


def test_a_name_that_is_given_stays(tmp_path):
    folder = create(tmp_path / "c", *DEMO, "track.campaign=mine", "report={title: Ours}")
    params = load_params(folder / "params.yaml")
    assert (params.track.campaign, params.report.title) == ("mine", "Ours")
    nameless = load_params(create(tmp_path / " ", *DEMO) / "params.yaml")
    assert nameless.track.campaign == "campaign"
    own = tmp_path / "own.yaml"
    own.write_text("track: {campaign: theirs}\niterations: {x: {previous: empty}}\n")
    assert (
        load_params(create(tmp_path / "d", params=own) / "params.yaml").track.campaign == "theirs"
    )


def test_comments_of_the_recipe_are_kept(tmp_path):
    folder = create(tmp_path / "c", *DEMO, "order={strategy: random, seed: 2}")
    text = (folder / "params.yaml").read_text()
    assert "# ImageNet's, installed with boxloop" in text
    assert "blind_fraction" not in text  # that is for people
    assert YAML(typ="safe").load(text)["order"] == {"strategy": "random", "seed": 2}


def test_another_params_file_may_be_the_beginning(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("order: {seed: 5}  # mine\niterations: {x: {previous: empty}}\n")
    folder = create(tmp_path / "c", params=own)
    assert "# mine" in (folder / "params.yaml").read_text()
    assert list(load_params(folder / "params.yaml").iterations) == ["x"]


def test_inside_another_repository_nothing_of_it_changes(tmp_path):
    git(tmp_path, "init", "--quiet")
    folder = create(tmp_path / "c", *DEMO)
    assert not (folder / ".git").exists()
    assert (folder / ".dvc" / "config").is_file()
    assert not (tmp_path / ".dvc").exists()


def test_an_empty_folder_may_be_used_and_a_full_one_stays_as_it_is(tmp_path):
    folder = tmp_path / "c"
    folder.mkdir()
    create(folder, *DEMO)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match="is not empty: name a new folder"):
        create(folder, *DEMO)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file: name a new folder"):
        create(tmp_path / "file", *DEMO)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["order.strategi=random"], "'order.strategi' is not a known key"),
        (["order"], "--set takes section.key=value"),
        (["order.seed.x=1"], "'seed' is a value, not a section"),
        (["dataset=null"], "dataset must be a section"),
        (["train.epochs=5"], "exactly one of steps and epochs"),
    ],
)
def test_bad_parameters_make_nothing(tmp_path, overrides, message):
    with pytest.raises(ParamsError, match=message):
        create(tmp_path / "c", *overrides)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "own.yaml is empty: it must hold sections such as 'order:'"),
        (b"# nothing\n", "own.yaml is empty: it must hold sections such as 'order:'"),
        (b"- a", "own.yaml must hold sections such as 'order:', not a plain value"),
        (b"order: [", "own.yaml is not valid YAML"),
        (b"\xff\xfe", "own.yaml is not UTF-8 text: save it as UTF-8"),
        (b"order: {seed: 1}\norder: {seed: 2}", "own.yaml is not valid YAML: .*duplicate key"),
        (b"<<<<<<< a\norder: 1\n", "own.yaml is not valid YAML: a merge left a conflict in line 1"),
        (None, "own.yaml does not exist: name a file that does"),
    ],
)
def test_a_bad_params_file_makes_nothing(tmp_path, text, message):
    own = tmp_path / "own.yaml"
    if text is not None:
        own.write_bytes(text)
    with pytest.raises(ParamsError, match=message) as caught:
        create(tmp_path / "c", "order.seed=1", params=own)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("name", ["caf\udce9", "caf\udce9/below"])
def test_a_folder_whose_name_is_not_utf_8_makes_nothing(tmp_path, name):
    with pytest.raises(UserError, match="is not UTF-8, where DVC cannot work: name a folder"):
        create(tmp_path / name, *DEMO)
    assert list(tmp_path.iterdir()) == []


def test_what_dvc_says_of_itself_is_no_reason(tmp_path):
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    with pytest.raises(UserError, match="'dvc init --quiet' failed in .*: it does not say why$"):
        init._init_repositories(folder)


def test_a_folder_that_looks_like_an_option_can_be_gone_into(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, said = run_program(
        monkeypatch, capsys, "init", "--set", "dataset.format=demo", "--", "-a b"
    )
    assert code == 0, said
    assert said.endswith("-a b is ready. Next:\n  cd './-a b'\n  dvc repro\n")
    subprocess.run(["sh", "-c", "cd './-a b'"], check=True)


@pytest.mark.parametrize("existed", [False, True])
def test_what_fails_half_way_leaves_nothing(tmp_path, monkeypatch, existed):
    folder = tmp_path / "c"
    if existed:
        folder.mkdir()
    # A folder below a file: `git init` itself fails.
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "no" / "git"))
    (tmp_path / "no").write_text("x")
    with pytest.raises(UserError, match="git init --quiet' failed in"):
        create(folder, *DEMO)
    assert folder.exists() == existed
    assert not existed or list(folder.iterdir()) == []


def test_what_fails_half_way_leaves_no_folder_above_it(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "no" / "git"))
    (tmp_path / "no").write_text("x")
    with pytest.raises(UserError, match="git init --quiet' failed in"):
        create(tmp_path / "there" / "a" / "b", *DEMO)
    assert list((tmp_path / "there").iterdir()) == []


def test_what_is_in_the_way_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for folder, why in (
        ("file/c", "file is a file, not a folder: move it away, or use another place"),
        ("link", "link is a link to no folder: remove it, or make what it names"),
        ("link/c", "link is a link to no folder: remove it, or make what it names"),
    ):
        with pytest.raises(UserError) as caught:
            create(tmp_path / folder, *DEMO)
        assert str(caught.value) == f"{tmp_path / folder} cannot be written: {tmp_path / why}"


def test_without_git_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git is not installed"):
        create(tmp_path / "c", *DEMO)
    assert not (tmp_path / "c").exists()


def test_keys_that_dvc_watches_are_written_where_a_recipe_lacks_them(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("review: {score_threshold: 0.3}\n")
    folder = create(tmp_path / "c", params=own, batches=2)
    content = YAML(typ="safe").load((folder / "params.yaml").read_text())
    assert content["review"] == {"score_threshold": 0.3, "iou_threshold": 0.5}
    assert content["account"] == {"iou_thresholds": [0.5, 0.7], "cost_model": "paper"}


@pytest.mark.parametrize(
    "recipe",
    [
        "dataset: {format: demo}  # mine\ntrain: {steps: 1}\ntrack: {enabled: false}\n"
        "batch: {size: 2}\niterations: {b00: {previous: empty}}\n",
        "order: {seed: 5}  # mine\n",
        "features: {seed: 3}  # mine\ndataset: {demo: {images: 4}}\n",
    ],
)
def test_dvc_finds_all_that_it_wants_in_a_short_recipe(tmp_path, recipe):
    own = tmp_path / "own.yaml"
    own.write_text(recipe)
    folder = create(tmp_path / "c", params=own)
    with Repo(str(folder)) as repo:
        stages = {stage.name: stage for stage in repo.index.stages}
        for stage in stages.values():
            for dependency in stage.deps:
                if isinstance(dependency, ParamsDependency):
                    dependency.get_hash()  # as 'dvc repro' does; raises where one is missing
    assert {"simnet", "learn@b00", "report"} <= stages.keys()
    assert "# mine" in (folder / "params.yaml").read_text()
    given, made = load_params(own), load_params(folder / "params.yaml")
    assert made.dataset.path.endswith("demo_scenes.py")
    assert made.model_copy(update={"dataset": given.dataset}) == given


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["order.seed=3", "order.strategy=rnd"], "--set order.strategy=rnd: order.strategy: there"),
        (["dataset.format=folder"], "--set dataset.format=folder: dataset: format 'folder' has no"),
        (["order.seed=3", "train.epochs=5"], "--set train.epochs=5: train: set exactly one of"),
        (["order.seed=-1", "batch.size=0"], "--set order.seed=-1 --set batch.size=0: "),
    ],
)
def test_a_wrong_value_is_blamed_on_the_set_that_gave_it(tmp_path, overrides, message):
    with pytest.raises(ParamsError) as caught:
        create(tmp_path / "c", *overrides)
    assert str(caught.value).startswith(message)
    assert "starter.yaml" not in str(caught.value)


def test_a_wrong_recipe_is_blamed_itself(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("order: {seed: -1}\n")
    with pytest.raises(ParamsError, match=r"own\.yaml: order\.seed"):
        create(tmp_path / "c", "batch.size=5", params=own)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset.path=~/set"], f"dataset.path '~/set' begins with ~.*write '{Path.home()}/set'"),
        (["dataset.path=/no/set"], r"dataset.path '/no/set' does not exist \(looked for /no/set"),
        (["dataset.path=set"], r"starts from the campaign's folder .*: write '.*/set'"),
        (["dataset.path=../../out"], r"does not exist \(looked for .*/out\)"),
        (["dataset={format: voc, path: gone}"], "--set dataset.path 'gone' does not exist"),
        (["dataset.path=../set", "dataset.format=coco", "dataset.annotations=a.json"],
         r"--set dataset.annotations 'a.json' does not exist \(looked for .*set/a.json"),
        (["dataset.path=../set", "dataset.format=coco", "dataset.images=x"], "dataset.images 'x'"),
    ],
)  # fmt: skip
def test_a_set_that_is_not_there_is_told_at_once(tmp_path, monkeypatch, overrides, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    with pytest.raises(ParamsError, match=message):
        create(tmp_path / "c", *overrides)
    assert not (tmp_path / "c").exists()


def test_what_a_recipe_names_may_still_be_missing(tmp_path):
    notes = init.create(tmp_path / "c", params=None, batches=None, overrides=())
    assert len(notes) == 1
    assert "dataset.path 'path/to/your/dataset' does not exist" in notes[0]
    assert str(tmp_path / "c" / "params.yaml") in notes[0]


def test_the_section_dataset_is_filled_from_the_data(tmp_path):
    data = tmp_path / "my set"
    for split in ("train", "valid"):
        coco(data / split)
    folder = create(tmp_path / "c", "dataset.classes=[dog]", data=data)
    dataset = load_params(folder / "params.yaml").dataset
    assert (dataset.format, dataset.path) == ("coco", str(data))
    assert dataset.annotations == ("train/instances.json", "valid/instances.json")
    assert dataset.classes == ("dog",)


@pytest.mark.parametrize("format_", [(), ("dataset.format=coco", "dataset.images=images")])
def test_a_path_is_written_without_detours(tmp_path, monkeypatch, format_):
    root = coco(tmp_path / "set")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder = create(tmp_path / "c", *format_, data=Path("..") / "here" / ".." / "set")
    assert load_params(folder / "params.yaml").dataset.path == str(root)


def test_a_detour_through_a_link_leads_where_it_leads(tmp_path, monkeypatch):
    """``link/..`` is the parent of what the link points to, whatever the text says."""
    root = coco(tmp_path / "far" / "set")
    (tmp_path / "far" / "deep").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "deep")
    monkeypatch.chdir(tmp_path)
    folder = create(tmp_path / "c", data=Path("link") / ".." / "set")
    assert load_params(folder / "params.yaml").dataset.path == str(root)
    # A link itself is called as it is.
    (tmp_path / "other").symlink_to(root)
    folder = create(tmp_path / "d", data=Path("other"))
    assert load_params(folder / "params.yaml").dataset.path == str(tmp_path / "other")


def test_data_that_cannot_be_read_makes_nothing(tmp_path):
    image(tmp_path / "set" / "a.png")
    with pytest.raises(ParamsError, match=r"without labels: say what.*--set 'dataset\.classes="):
        create(tmp_path / "c", data=tmp_path / "set")
    text(tmp_path / "set" / "a.json", '{"shapes": [], "imagePath": "a.png"}')
    with pytest.raises(DatasetError, match="LabelMe"):
        create(tmp_path / "c", data=tmp_path / "set")
    assert not (tmp_path / "c").exists()
    pictures = "dataset.format=folder"
    folder = create(tmp_path / "c", pictures, "dataset.classes=[a]", data=tmp_path / "set")
    params = load_params(folder / "params.yaml")
    assert (params.dataset.format, params.review.annotator) == ("folder", "fiftyone")
    # What people find without help is measured; a simulation would find all.
    assert (params.review.blind_fraction, params.review.plant_fraction) == (0.05, 0.0)
    text_ = (folder / "params.yaml").read_text()
    assert "\n  blind_fraction: 0.05    # of the images, shown without proposals" in text_


def test_labels_are_for_people_and_said_to_be_ignored_where_they_are(tmp_path):
    root = coco(tmp_path / "set")
    folder = create(tmp_path / "proposed", "dataset.labels=proposed", data=root)
    params = load_params(folder / "params.yaml")
    assert (params.dataset.labels, params.review.annotator) == ("proposed", "fiftyone")
    with pytest.raises(ParamsError, match="nothing would be left to label"):
        create(tmp_path / "x", "dataset.labels=trusted", "review.annotator=simulated", data=root)
    notes = init.create(
        tmp_path / "ignored",
        params=None,
        batches=None,
        overrides=["review.annotator=fiftyone", "review.blind_fraction=0.2"],
        data=root,
    )
    review = load_params(tmp_path / "ignored" / "params.yaml").review
    assert (review.blind_fraction, review.plant_fraction) == (0.2, 0.0)
    assert notes[-1].startswith(f"labels that {root} has are ignored, as people label: --set")


def test_who_corrects_is_said_where_nobody_chose(tmp_path):
    root = coco(tmp_path / "set")

    def notes(name, *overrides, params=None):
        made = tmp_path / name
        return init.create(made, params=params, batches=None, overrides=overrides, data=root)

    (said,) = [note for note in notes("silent") if "replayed" in note]
    assert said.startswith(f"labels that {root} has are replayed: a simulated annotator")
    assert said.endswith("--set review.annotator=fiftyone")
    own = tmp_path / "own.yaml"
    own.write_text("iterations: {x: {previous: empty}}\n")
    chosen = [
        notes("simulated", "review.annotator=simulated"),
        notes("people", "review.annotator=fiftyone"),
        notes("recipe", params=own),
        init.create(tmp_path / "demo", params=None, batches=None, overrides=DEMO),
    ]
    assert not [note for found in chosen for note in found if "replayed" in note]


def test_two_at_once_make_one_campaign(tmp_path, monkeypatch):
    """A large dataset is looked at for minutes, in which another process may be faster."""
    folder, prepare = tmp_path / "c", init._prepare

    def slowly(*arguments):
        prepared = prepare(*arguments)
        monkeypatch.setattr(init, "_prepare", prepare)
        create(folder, *DEMO, "order.seed=1")
        return prepared

    monkeypatch.setattr(init, "_prepare", slowly)
    with pytest.raises(UserError, match="is not empty: name a new folder"):
        create(folder, *DEMO, "order.seed=2")
    assert load_params(folder / "params.yaml").order.seed == 1
    assert (folder / ".dvc" / "config").is_file()


def test_what_fails_half_way_leaves_what_somebody_else_put_there(tmp_path, monkeypatch):
    folder, copy = tmp_path / "c", init.shutil.copyfile

    def beside(source, target):
        (folder / "mine.txt").write_text("x")
        return copy(source, target)

    monkeypatch.setattr(init.shutil, "copyfile", beside)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "no" / "git"))
    (tmp_path / "no").write_text("x")
    with pytest.raises(UserError, match="git init --quiet' failed in"):
        create(folder, *DEMO)
    assert [p.name for p in folder.iterdir()] == ["mine.txt"]
