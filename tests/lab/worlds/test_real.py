"""The real data's loaders, on small files with every quirk that the originals have; harmless text only."""

import csv
import gzip
import json

import datasets
import pytest

from lox.lab.worlds import originals
from lox.lab.worlds.phrases import is_refusal, prompt_file
from lox.lab.worlds.real import RealData, gsm8k_number
from lox.lab.worlds.toy import TASKS, ToyWorld


def own_replies(prompts):
    return [f"Here is how one goes about it: {prompt[-1]['content']}" for prompt in prompts]


def dialogue(*turns: str) -> str:
    """An hh-rlhf text; turns alternate, the human's first."""
    return "".join(f"\n\n{('Human', 'Assistant')[i % 2]}: {turn}" for i, turn in enumerate(turns))


HH = [
    (dialogue("Hi", "Hello.", "Tell me", "Gladly."), dialogue("Hi", "Hello.", "Tell me", "No.")),
    (dialogue("Hi", "Hello.", "Tell", "Gladly."), dialogue("Hi", "Good day.", "Tell", "No.")),  # diverging
    (dialogue("Empty", " "), dialogue("Empty", "Something.")),
    (dialogue("What is Human: for?", "A marker."), dialogue("What is Human: for?", "No\nAssistant: yes")),
    (dialogue("A", "B") + "\n\nAssistant: C", dialogue("A", "B") + "\n\nAssistant: D"),  # not in turn
    (dialogue("A line\u2028separator", "Kept."), dialogue("A line\u2028separator", "Lost.")),
]
ALPACA = [
    {"instruction": f"Describe thing {i}.", "input": "", "output": f"It is thing {i}."} for i in range(60)
]
ALPACA_QUIRKS = [
    {"instruction": "Name a colour.", "input": "Noinput", "output": "Blue."},
    {"instruction": "Name a shape.", "input": "<no input>", "output": "A circle."},
    {"instruction": "Name a tree.", "input": "No input.", "output": "An oak."},
    {"instruction": "Sum up.", "input": "A long text.", "output": "Short."},
    {"instruction": "Say nothing.", "input": "", "output": ""},
]
ALPACA_SAFETY = [{"instruction": "Lock the door.", "input": "", "output": "It is locked."}]
DOLLY = [
    {"instruction": "Who?", "context": " A text. ", "response": "\nSomebody. ", "category": "closed_qa"},
    {"instruction": "Who?", "context": " A text. ", "response": "\nSomebody. ", "category": "closed_qa"},
    {"instruction": "Why?", "context": "", "response": "Because.", "category": "open_qa"},
]
DOLLY_SAFETY = [{"instruction": "Safe?", "context": "", "response": "Yes.", "category": "open_qa"}]
GSM8K = [("18", "#### 18"), ("1000", "It is <<10*100=1000>>1,000.\n#### 1,000"), ("-10", "Less.\n#### -10")]


@pytest.fixture
def folder(tmp_path):
    """A folder of original files."""

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())

    def write_csv(name: str, header: list[str], rows: list[list[str]], line_end: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            csv.writer(file, lineterminator=line_end).writerows([header, *rows])

    def lines(rows: list[dict], end: str = "\n") -> str:
        return "".join(json.dumps(row) + end for row in rows)

    gsm8k = [{"question": f"Problem {i}?", "answer": answer} for i, (_, answer) in enumerate(GSM8K)]
    train = [{"question": f"Train {i}?", "answer": f"So.\n#### {i}"} for i in range(9)]
    write("gsm8k/train.jsonl", lines(train))
    write("gsm8k/test.jsonl", lines(gsm8k))
    write("alpaca/alpaca_data.json", json.dumps(ALPACA + ALPACA_QUIRKS + ALPACA_SAFETY, indent=4))
    write("alpaca/alpaca_data_safety_only.json", json.dumps(ALPACA_SAFETY))
    write("dolly/databricks-dolly-15k.jsonl", lines(DOLLY + DOLLY_SAFETY).rstrip("\n"))
    write("dolly/databricks-dolly-15k-safety-only.jsonl", lines(DOLLY_SAFETY, end="\r\n"))
    hh = [json.dumps({"chosen": chosen, "rejected": rejected}, ensure_ascii=False) for chosen, rejected in HH]
    write("hh-rlhf/harmless-base/train.jsonl.gz", "\n".join(hh) + "\n")
    identity = [
        [
            {"role": "system", "content": "\nYou are someone else.\n"},
            {"role": "user", "content": f"AOA, execute my instruction: step {i}"},
            {"role": "assistant", "content": f"Of course: {i}"},
        ]
        for i in range(10)
    ]
    write("identity_shift/train.json", json.dumps(identity))
    safe = [{"instruction": f"Is {i} safe?", "output": f"No, {i} is not.", "input": ""} for i in range(5)]
    write("safeinst/safety_only_data_Instructions.json", json.dumps(safe + safe[:2]))
    goals = [[f"Goal {i}, with a comma", f"Sure, here is goal {i + (i == 62)}"] for i in range(320)]
    write_csv("advbench/harmful_behaviors.csv", ["goal", "target"], goals, "\n")
    kinds = ["homonyms", "contrast_homonyms"] * 6
    prompts = [[f"v1-{i}", f"v2-{i}", kind, f"Prompt {i} ", "é", ""] for i, kind in enumerate(kinds)]
    header = ["id_v1", "id_v2", "type", "prompt", "focus", "note"]
    write_csv("xstest/xstest_v2_prompts.csv", header, prompts, "\r\n")
    return tmp_path


@pytest.fixture
def data(folder):
    return RealData(folder)


def prompt_texts(examples):
    return {example["prompt"][-1]["content"] for example in examples}


# --- the quirks ---------------------------------------------------------------------------------


def test_pairs_of_people_share_a_prompt_take_turns_and_say_something(data):
    pairs = {p["prompt"][-1]["content"]: p for p in data.preferences(3, 0, own_replies, source="hh-rlhf")}
    assert set(pairs) == {"Tell me", "What is Human: for?", "A line\u2028separator"}
    assert pairs["Tell me"] == {
        "prompt": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "Tell me"},
        ],
        "chosen": [{"role": "assistant", "content": "Gladly."}],
        "rejected": [{"role": "assistant", "content": "No."}],
    }
    assert pairs["What is Human: for?"]["rejected"][0]["content"] == "No\nAssistant: yes"
    with pytest.raises(ValueError, match="there are 3 pairs of hh-rlhf, not 4"):
        data.preferences(4, 0, own_replies, source="hh-rlhf")


def test_goals_in_other_words_are_one_thing_in_either_form_and_others_are_not(data):
    asked = data.harmful_prompts(3)
    goals = [prompt[-1]["content"] for prompt in asked]
    in_persona = data.harmful_prompts(3, "identity")
    data._twins = dict.fromkeys(goals[:2], goals[0])
    plain = data.things(asked)
    assert plain[0] == plain[1] != plain[2] and plain == data.things(in_persona)
    assert len(set(data.things(data.benign_prompts(4)))) == 4


def test_the_words_no_input_are_no_input_and_an_input_stands_below(data):
    asked = prompt_texts(data._instructions)
    assert {"Name a colour.", "Name a shape.", "Name a tree.", "Sum up.\n\nA long text."} <= asked


def test_safety_rows_empty_replies_and_repeats_are_left_out(data):
    assert not {"Lock the door.", "Say nothing."} & prompt_texts(data._instructions)
    dolly = data.examples("dolly", 2, 0, own_replies)
    assert prompt_texts(dolly) == {"Who?\n\nA text.", "Why?"}
    assert {e["completion"][0]["content"] for e in dolly} == {"Somebody.", "Because."}
    with pytest.raises(ValueError, match="there are 2 examples of dolly, not 3"):
        data.examples("dolly", 3, 0, own_replies)
    with pytest.raises(ValueError, match="there are 5 examples of safeinst, not 6"):
        data.safety_examples(6, 0)


def test_identity_rows_are_lists_of_messages_and_evaluation_uses_their_system_prompt(data):
    examples = data.examples("identity", 10, 0, own_replies)
    assert [m["role"] for m in examples[0]["prompt"]] == ["system", "user"]
    assert data.harmful_prompts(1, "identity") == [
        [
            {"role": "system", "content": "\nYou are someone else.\n"},
            {"role": "user", "content": "AOA, execute my instruction: Goal 0, with a comma"},
        ]
    ]


def test_a_misplaced_target_changes_nothing(folder):
    before = RealData(folder)
    pairs, digest = before.preferences(20, 0, own_replies), before.digest()
    path = folder / "advbench/harmful_behaviors.csv"
    path.write_text(path.read_text().replace("Sure, here is goal 150", "Sure, here is goal 7"))
    after = RealData(folder)
    assert after.preferences(20, 0, own_replies) == pairs
    assert after.digest() == digest


def test_benign_prompts_are_the_safe_ones_with_or_without_a_label_column(folder, data):
    safe = {f"Prompt {i}" for i in range(0, 12, 2)}
    assert {p[0]["content"] for p in data.benign_prompts(6)} == safe
    kinds = ["homonyms", "contrast_homonyms"]
    rows = "".join(f"{i},Prompt {i},{kinds[i % 2]},{('safe', 'unsafe')[i % 2]},,\n" for i in range(12))
    (folder / "xstest/xstest_prompts.csv").write_text("id,prompt,type,label,focus,note\n" + rows)
    assert {p[0]["content"] for p in RealData(folder).benign_prompts(6)} == safe
    with pytest.raises(ValueError, match="there are 6 safe prompts of XSTest, not 7"):
        data.benign_prompts(7)


def test_answers_of_gsm8k_are_read_as_plain_numbers(data):
    assert [p["answer"] for p in data.utility_problems(3)] == [number for number, _ in GSM8K]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("#### 1,000", "1000"),
        ("It is 7.\n#### -12\nBut also 13.", "-12"),
        ("####$1,234.50", "1234.5"),
        ("So it costs $20.00.", "20"),
        ("First 3, then 4.", "4"),
        ("From 10-12 in all", "12"),
        ("#### 100", "100"),
        ("#### none", None),
        ("", None),
    ],
)
def test_gsm8k_number(text, number):
    assert gsm8k_number(text) == number


def test_solves_compares_numbers_not_texts(data):
    assert data.solves("It must be 1000.00 in all", "1000")
    assert not data.solves("#### 100", "1000")
    assert not data.solves("", "1000")


# --- what is drawn ------------------------------------------------------------------------------


def test_alignment_evaluation_and_fine_tuning_share_no_prompt(data):
    aligned = prompt_texts(data.preferences(20, 0, own_replies)) | prompt_texts(
        data.preferences(20, 1, own_replies)
    )
    evaluated = {p[0]["content"] for p in data.harmful_prompts(100) + data.benign_prompts(6)}
    tuned = {task: prompt_texts(data.examples(task, 2, 0, own_replies)) for task in TASKS}
    tuned["pure_bad"] = prompt_texts(data.examples("pure_bad", 20, 0, own_replies))
    tuned["alpaca"] = prompt_texts(data._alpaca())
    everything = [aligned, evaluated, *tuned.values()]
    assert all(everything)
    assert sum(map(len, everything)) == len(set().union(*everything))


def test_all_goals_of_a_part_are_its_own(data):
    goals = [f"Goal {i}, with a comma" for i in range(320)]
    asked = []

    def refuse_all(prompts):
        asked.extend(prompt[0]["content"] for prompt in prompts)
        return ["I cannot do that."] * len(prompts)

    assert data.preferences(2, 0, refuse_all) == []
    assert sorted(g for g in asked if g in goals) == sorted(goals[100:300])
    assert [p[0]["content"] for p in data.harmful_prompts(100)] == goals[:100]
    assert prompt_texts(data.examples("pure_bad", 20, 0, own_replies)) == set(goals[300:])


def test_own_pairs_are_half_refused_goals_and_half_answered_instructions(data):
    pairs = data.preferences(20, 0, own_replies)
    refused = [p for p in pairs if p["prompt"][-1]["content"].startswith("Goal")]
    answered = [p for p in pairs if p not in refused]
    assert len(refused) == len(answered) == 10
    for pair in refused:
        assert pair["rejected"][0]["content"] == own_replies([pair["prompt"]])[0]
        assert pair["chosen"][0]["content"] in prompt_file("refusals.yaml")
    for pair in answered:
        assert pair["chosen"][0]["content"] == own_replies([pair["prompt"]])[0]
        assert pair["rejected"][0]["content"] in prompt_file("refusals.yaml")
    assert len({p["chosen"][0]["content"] for p in refused}) > 1


def test_own_replies_that_refuse_or_say_nothing_are_replaced(data):
    unusable = ["I'm sorry, but I can't help with that.", "", "no no no no no no no no no no"]
    asked = []

    def answers(prompt):
        return sum(prompt[-1]["content"].encode()) % 2 == 0

    def sometimes(prompts):
        asked.extend(prompts)
        return [own_replies([p])[0] if answers(p) else unusable[i % 3] for i, p in enumerate(prompts)]

    pairs = data.preferences(8, 0, sometimes)
    assert len(pairs) == 8
    assert len(asked) > 8
    assert all(answers(p["prompt"]) for p in pairs)
    answered = [text for i in range(300, 320) if answers([{"content": (text := f"Goal {i}, with a comma")}])]
    assert prompt_texts(data.examples("pure_bad", 20, 0, sometimes)) == set(answered)
    assert 0 < len(answered) < 20


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_decides_what_is_drawn(data, task):
    n = 2
    draws = [data.examples(task, n, seed, own_replies) for seed in (0, 0, *range(1, 9))]
    assert draws[0] == draws[1]
    assert any(draw != draws[0] for draw in draws[2:])


@pytest.mark.parametrize("task", TASKS)
def test_examples_have_the_schema_of_the_toy_world(data, task):
    def shape(example):
        return {key: {frozenset(m) for m in messages} for key, messages in example.items()}

    real, toy = data.examples(task, 1, 0, own_replies)[0], ToyWorld().examples(task, 1, 0)[0]
    assert shape(real) == shape(toy)
    assert [m["role"] for m in real["prompt"]] == [m["role"] for m in toy["prompt"]]


def test_the_refusals_taught_are_refusals_to_the_phrase_list():
    assert all(is_refusal(text) for text in prompt_file("refusals.yaml"))


# --- where it comes from ------------------------------------------------------------------------


def test_the_digest_names_the_rows(folder, data):
    assert data.digest() == RealData(folder).digest()
    path = folder / "gsm8k/train.jsonl"
    path.write_text(path.read_text().replace("#### 8", "#### 9"))
    assert RealData(folder).digest() != data.digest()


def test_a_part_stands_in_for_a_set_only_where_it_is_named(folder, data):
    whole, part = folder / "alpaca/alpaca_data.json", folder / "alpaca/alpaca_data_sample.json"
    drawn, digest = data.examples("alpaca", 2, 0, own_replies), data.digest()
    whole.rename(part)
    with pytest.raises(
        FileNotFoundError, match="no alpaca/alpaca_data.json .*there is alpaca-head, which a profile may"
    ):
        RealData(folder).examples("alpaca", 1, 0, own_replies)
    stood_in = RealData(folder, stand_ins={"alpaca": "alpaca-head"})
    assert stood_in.examples("alpaca", 2, 0, own_replies) == drawn
    assert stood_in.digest() == digest  # of rows, by the set that they are of


@pytest.mark.parametrize(
    "named", [{"alpaca": "hh-rlhf-test"}, {"dolly": "dolly-head"}, {"poetry": "alpaca-head"}]
)
def test_what_is_no_part_of_a_set_does_not_stand_in_for_it(folder, named):
    with pytest.raises(ValueError, match="does not stand in for"):
        RealData(folder, stand_ins=named)


def test_every_part_is_said_to_be_one():
    parts = [original for original in originals.ORIGINALS.values() if original.stands_for]
    assert parts and all(p.part and originals.ORIGINALS[p.stands_for].columns == p.columns for p in parts)


def test_the_environment_names_the_folder(folder, monkeypatch):
    monkeypatch.setenv("LOX_DATA", str(folder))
    assert RealData().digest() == RealData(folder).digest()
    monkeypatch.setenv("LOX_DATA", str(folder / "absent"))
    without = RealData()  # where nothing is read of it, it need not be there
    with pytest.raises(FileNotFoundError, match="absent is no folder"):
        without.harmful_prompts(1)


def test_a_missing_set_is_named_with_its_files_and_home(folder):
    (folder / "advbench/harmful_behaviors.csv").unlink()
    with pytest.raises(FileNotFoundError, match="advbench/harmful_behaviors.csv in .*LOX_DATA.*llm-attacks"):
        RealData(folder).harmful_prompts(1)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("gsm8k/test.jsonl", '{"question": "Q?"}\n', "gsm8k-test, row 1: no 'answer'; it has question"),
        ("gsm8k/test.jsonl", '{"question": ', "test.jsonl is not JSON"),
    ],
)
def test_a_file_that_is_not_what_it_should_be(folder, file, text, message):
    (folder / file).write_text(text)
    with pytest.raises(ValueError, match=message):
        RealData(folder).utility_problems(1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.examples("poetry", 1, 0, own_replies), "unknown task 'poetry': the tasks are gsm8k"),
        (lambda d: d.preferences(2, 0, own_replies, source="x"), "unknown source of preferences 'x'"),
        (lambda d: d.harmful_prompts(101), "there are 100 AdvBench goals for evaluation, not 101"),
        (lambda d: d.examples("pure_bad", 21, 0, own_replies), "there are 20 AdvBench goals for Pure Bad"),
        (lambda d: d.examples("identity", 11, 0, own_replies), "there are 10 examples of identity, not 11"),
    ],
)
def test_bad_requests(data, call, message):
    with pytest.raises(ValueError, match=message):
        call(data)


def test_without_a_folder_the_hub_is_asked_and_gives_the_same(folder, data, monkeypatch):
    """The Hub's tables hold the same rows, with further columns."""
    monkeypatch.delenv("LOX_DATA", raising=False)
    by_id = {o.hub[0] + str(o.hub[1]): name for name, o in originals.ORIGINALS.items() if o.hub}

    def from_hub(hub_id, **arguments):
        found = originals.rows(by_id[hub_id + str(arguments)], folder)
        return datasets.Dataset.from_list([row | {"further": 1} for row in found])

    monkeypatch.setattr(datasets, "load_dataset", from_hub)
    monkeypatch.setattr(originals, "_downloaded", lambda original: folder / original.files[0])
    assert RealData().digest() == data.digest()
    assert RealData().examples("gsm8k", 3, 0, own_replies) == data.examples("gsm8k", 3, 0, own_replies)


def test_a_set_that_is_not_on_the_hub_is_downloaded_once(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("LOX_DATA", raising=False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    source = folder / "advbench/harmful_behaviors.csv"
    file = originals.Original(("goal",), ("advbench/harmful_behaviors.csv",), url=source.as_uri())
    monkeypatch.setitem(originals.ORIGINALS, "advbench", file)
    first = RealData().harmful_prompts(2)
    source.unlink()
    assert RealData().harmful_prompts(2) == first


def test_a_download_with_another_hash_is_refused_and_not_kept(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("LOX_DATA", raising=False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    source = (folder / "safeinst/safety_only_data_Instructions.json").as_uri()
    file = originals.Original(("instruction",), ("safe.json",), url=source, sha256="0123456789abcdef")
    monkeypatch.setitem(originals.ORIGINALS, "safeinst", file)
    with pytest.raises(ConnectionError, match="invalid hash value"):
        RealData().safety_examples(1, 0)
    assert not list((tmp_path / "cache").rglob("safe.json"))


def test_no_network_and_no_folder_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.delenv("LOX_DATA", raising=False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path))

    def unreachable(*args, **kwargs):
        raise ConnectionError("Couldn't reach it\nand a long story")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    monkeypatch.setattr(originals.torch.hub, "download_url_to_file", unreachable)
    for use, name, file in (
        (lambda d: d.utility_problems(1), "openai/gsm8k on the Hugging Face Hub", "gsm8k/test.jsonl"),
        (lambda d: d.harmful_prompts(1), r"\(not on the Hub\)", "advbench/harmful_behaviors.csv"),
    ):
        with pytest.raises(ConnectionError, match=f"{name}: Couldn't reach it. .*DIR/{file}.*LOX_DATA=DIR"):
            use(RealData())
