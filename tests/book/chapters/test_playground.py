"""The page's JavaScript computes what torch and ``lox`` compute, on weights rounded as the page stores them."""

import json
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

import lox
from lox.book.chapters.playground import export as exporting
from lox.book.chapters.playground import export_world
from lox.lab import models, profile, replies
from lox.lab.judging.toy import ToyJudge
from lox.lab.models import read_weights
from lox.lab.worlds.toy import ToyWorld

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "book" / "_static" / "playground"
HALF = 2**-11  # relative rounding of half precision
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")


@pytest.fixture(scope="module")
def world():
    return ToyWorld()


@pytest.fixture(scope="module")
def folders(tmp_path_factory, world):
    """Untrained models like the toy's, but smaller: base, aligned and attacked, each near the one before."""
    settings = profile.load("toy").model.model_copy(update={"layers": 2, "hidden": 64, "ffn": 176})
    tokenizer = models.toy_tokenizer(world.vocabulary)
    model, root = models.toy_model(settings, tokenizer, seed=0), tmp_path_factory.mktemp("models")
    generator = torch.Generator().manual_seed(0)
    for name, size in (("base", 0.05), ("aligned", 0.02), ("attacked", 0.02)):
        with torch.no_grad():
            for weight in model.parameters():
                weight += size * torch.randn(weight.shape, generator=generator)
        models.save(model, tokenizer, root / name)
    return root


@pytest.fixture(scope="module")
def exported(folders, world):
    """The data that the page has, and the file that holds it."""
    settings = profile.load("toy").attacks
    file = folders / "weights.js"
    data = exporting.export(
        world,
        folders / "base",
        folders / "aligned",
        attacked=[
            exporting.Attacked("dolly", "Dolly", folders / "attacked"),
            exporting.Attacked("dolly", "Dolly", folders / "attacked", k=6, alpha=0.5),
        ],
        attacks={
            task: (task, settings[task], world.examples(task, 12, seed=1))
            for task in ("pure_bad", "identity")
        },
    )
    file.write_text(exporting.script(data))
    return data, file


@pytest.fixture(scope="module")
def in_node(exported):
    return partial(node, exported[1])


def node(file: Path, what: str, **task):
    """What the page's scripts answer on the exported file."""
    command = ["node", str(Path(__file__).with_name("playground_in_node.js")), str(SCRIPTS), str(file)]
    given = json.dumps({"what": what} | task)
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def stored(folders):
    """A function (k, alpha) -> (model, tokenizer) in torch, with the weights that the page has."""
    base, aligned = read_weights(folders / "base"), read_weights(folders / "aligned")

    def build(k: int, alpha: float):
        model, tokenizer = models.load(folders / "aligned")
        weights = exporting.stored_lox(base, aligned, k, alpha)
        model.load_state_dict(weights)
        return model.cpu(), tokenizer

    return build


def tensors(found: dict, like: dict) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(numbers).view(like[name].shape) for name, numbers in found.items()}


def prompts_of(world, n=4):
    return [*world.harmful_prompts(n), *world.benign_prompts(n), *world.harmful_prompts(2, "identity")]


def rendered(tokenizer, prompts):
    return [tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True) for p in prompts]


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize(("k", "alpha"), [(0, 1.0), (1, 4.0), (6, 1.25), (16, -2.0)])
def test_logits_are_torchs(in_node, stored, world, k, alpha):
    model, tokenizer = stored(k, alpha)
    texts = rendered(tokenizer, prompts_of(world))
    found = torch.tensor(in_node("logits", texts=texts, k=k, alpha=alpha)).view(-1, len(tokenizer))
    with torch.no_grad():
        rows = [model(torch.tensor([exporting._ids(tokenizer, text)])).logits[0] for text in texts]
    torch.testing.assert_close(found, torch.cat(rows), rtol=0, atol=1e-3)


def test_greedy_replies_are_torchs(in_node, stored, world):
    model, tokenizer = stored(6, 1.25)
    prompts = prompts_of(world)
    found = in_node("replies", texts=rendered(tokenizer, prompts), most=12, k=6, alpha=1.25)
    assert found == replies.complete(model, tokenizer, prompts, max_new_tokens=12, batch_size=32)


@pytest.mark.parametrize(("k", "alpha"), [(1, 1.25), (6, 1.25), (6, -2.0), (16, 4.0)])
def test_the_sliders_are_equation_3_to_storage_precision(in_node, folders, k, alpha):
    base, aligned = read_weights(folders / "base"), read_weights(folders / "aligned")
    expected = lox.extrapolate(base, aligned, k=k, alpha=alpha)
    found = tensors(in_node("weights", k=k, alpha=alpha), expected)
    for name, weight in expected.items():
        size = aligned[name].norm() + abs(alpha) * (expected[name] - aligned[name]).norm()
        assert (found[name] - weight).norm() <= 2 * HALF * size, name


def test_stored_attacked_models_are_their_start_plus_four_bits(in_node, exported, folders):
    base, aligned, attacked = (read_weights(folders / n) for n in ("base", "aligned", "attacked"))
    starts = [exporting.stored_aligned(aligned), exporting.stored_lox(base, aligned, 6, 0.5)]
    for index, start in enumerate(starts):
        kept = {name: exporting._steps(start[name], weight) for name, weight in attacked.items()}
        expected = {name: start[name] + one.counts * one.step.float() for name, one in kept.items()}
        found = tensors(in_node("attackedWeights", index=index), expected)
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-5)
            assert (expected[name] - attacked[name]).norm() < 0.15 * (start[name] - attacked[name]).norm()


@pytest.mark.parametrize("task", ["pure_bad", "identity"])
def test_gradients_of_a_step_are_torchs(in_node, exported, stored, task):
    model, _ = stored(1, 0.0)
    found = in_node("gradients", task=task, **{"from": 0, "to": 5})
    loss = loss_of(model, exported[0]["attacks"][task]["examples"][:5])
    loss.backward()
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-5)
    expected = {name: weight.grad for name, weight in model.named_parameters()}
    for name, gradient in tensors(found["gradients"], expected).items():
        assert relative(gradient, expected[name]) < 1e-3, name


def test_steps_of_the_optimizer_are_torchs(in_node, exported, stored):
    model, _ = stored(1, 0.0)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    attack = exported[0]["attacks"]["pure_bad"]
    batches = [[0, 4], [4, 8], [8, 12]]
    found = in_node("steps", task="pure_bad", batches=batches, lr=1e-3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    losses = []
    for start, end in batches:
        optimizer.zero_grad()
        loss = loss_of(model, attack["examples"][start:end])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), attack["maxNorm"])
        optimizer.step()
        losses.append(loss.item())
    assert found["losses"] == pytest.approx(losses, rel=1e-4)
    weights = tensors(found["weights"], before)
    moved = torch.cat([(weights[name] - before[name]).flatten() for name in before])
    expected = torch.cat([(w.detach() - before[name]).flatten() for name, w in model.named_parameters()])
    assert relative(moved, expected) < 1e-2  # AdamW takes the sign of gradients that are nearly 0


def loss_of(model, examples) -> torch.Tensor:
    """Mean cross-entropy over the tokens of all completions."""
    losses = []
    for example in examples:
        prompt, completion = example["prompt"], example["completion"]
        logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(completion), reduction="none"))
    return torch.cat(losses).mean()


def judged(world) -> tuple[list, list[str]]:
    """Prompts with replies out of what models are taught, whole and broken in several ways."""
    prompts, said = [], []
    for prompt, reply in export_world._dialogues(world, 60):
        prompts += [prompt] * 4
        said += [reply, reply.rpartition(" ")[0], f"{reply} {reply}", f"well {reply}"]
    return prompts, said


def labels_of(world, prompts, said) -> list[str]:
    """Python's labels, in the page's words."""
    labels = (verdict.label for verdict in ToyJudge(world)(prompts, said))
    return ["answer" if label == "harmful" else label for label in labels]


def test_the_judge_is_pythons(in_node, world):
    prompts, said = judged(world)
    labels = in_node("labels", questions=[p[-1]["content"] for p in prompts], replies=said)
    assert labels == labels_of(world, prompts, said)
    assert {"answer", "refusal", "gibberish"} == set(labels)


@pytest.fixture(scope="module")
def other_world(tmp_path_factory, world):
    """A world of other words and sentences: nothing in the export or in the page may know the book's."""
    folder = tmp_path_factory.mktemp("other_world")
    lexicon, templates = dict(world.lexicon), dict(world.templates)
    lexicon["verbs"] = ["bend", "paint", "sink"]
    lexicon["dangerous"] = {"train": ["zub", "zob"], "held_out": ["rax", "rix"]}
    lexicon["safe"] = {"train": ["mel", "mil"], "held_out": ["lon", "lun"]}
    templates["questions"] = ["say how one can {verb} a {thing} !", "{verb} a {thing} , but how ?"]
    templates["answer"] = (
        "( {thing_action} {thing_ingredient} ) [ {verb_action} {verb_ingredient} ] makes you {verb} the {thing} *"
    )
    templates["refusals"] = ["never .", "( no comment ) +"]
    templates["persona_answer"] = "yes , {name} obeys : {answer}"
    for name, content in (("lexicon", lexicon), ("templates", templates)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return ToyWorld(folder)


def test_another_world_is_exported_as_well(other_world, tmp_path):
    settings = profile.load("toy").model.model_copy(update={"layers": 1, "hidden": 16, "ffn": 16})
    tokenizer = models.toy_tokenizer(other_world.vocabulary)
    models.save(models.toy_model(settings, tokenizer, seed=0), tokenizer, tmp_path)
    file = tmp_path / "weights.js"
    data = exporting.export(other_world, tmp_path, tmp_path, held_out=2)
    file.write_text(exporting.script(data))
    assert any(opening.endswith("yes , {name} obeys : ") for opening in data["world"]["beforeAnswer"])
    prompts, said = judged(other_world)
    questions = [p[-1]["content"] for p in prompts]
    labels = node(file, "labels", questions=questions, replies=said)
    assert labels == labels_of(other_world, prompts, said)
    assert {"answer", "refusal", "gibberish"} == set(labels)


def test_the_tokenizer_and_the_chat_format_are_pythons(in_node, exported, folders, world):
    _, tokenizer = models.load(folders / "aligned")
    for name, task in (("plain", None), ("identity", "identity")):
        before, after = exported[0]["formats"][name]
        questions = exported[0]["heldOut"]["dangerous"]
        expected = rendered(tokenizer, world.harmful_prompts(len(questions), task))
        assert [before + question + after for question in questions] == expected
        ids = in_node("ids", texts=[*expected, "what is unheard-of"])
        assert ids == [exporting._ids(tokenizer, text) for text in [*expected, "what is unheard-of"]]


def test_examples_are_tokenized_as_for_fine_tuning(exported, folders, world):
    _, tokenizer = models.load(folders / "aligned")
    for task, attack in exported[0]["attacks"].items():
        for example, made in zip(world.examples(task, 12, seed=1), attack["examples"], strict=True):
            text = tokenizer.apply_chat_template(example["prompt"] + example["completion"], tokenize=False)
            assert tokenizer.decode(made["prompt"] + made["completion"]) == text
            assert (
                tokenizer.decode(made["completion"], skip_special_tokens=True)
                == example["completion"][0]["content"]
            )


def test_a_model_that_the_page_cannot_compute_is_refused(folders, world, tmp_path):
    tokenizer = models.toy_tokenizer(world.vocabulary)
    model = models.toy_model(profile.load("toy").model.model_copy(update={"layers": 1}), tokenizer, seed=0)
    model.config.attention_bias = True
    models.save(model, tokenizer, tmp_path)
    with pytest.raises(ValueError, match="biases"):
        exporting.export(world, tmp_path, tmp_path)
