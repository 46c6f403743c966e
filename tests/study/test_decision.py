from ablate.study.decision import concerned, overturned
from ablate.study.verdict import Verdict

ARMS = ["arch=pyramid,optimizer=adamw", "arch=cylinder,optimizer=sgd", "arch=pyramid,optimizer=sgd"]
BASELINE = "arch=cylinder,optimizer=adamw"


def test_a_decision_is_about_the_arms_that_it_names_by_a_level_of_theirs() -> None:
    assert concerned("keep pyramid, it is cheaper", ARMS, BASELINE) == [ARMS[0], ARMS[2]]
    assert concerned("drop sgd.", ARMS, BASELINE) == [ARMS[1], ARMS[2]]
    assert concerned("stay with cylinder and adamw", ARMS, BASELINE) == ARMS  # no level of theirs alone
    assert concerned("lr=0.01 stays: 0.01 is best", ["optimizer.lr=0.01"], "optimizer.lr=0.1") == ["optimizer.lr=0.01"]


def test_what_no_longer_is_as_it_was_is_told() -> None:
    now = [
        Verdict("a", "equivalent", 0.0, -0.001, 0.001, 0.9, 5),
        Verdict("b", "worse", -0.1, -0.2, -0.01, 0.01, 5),
        Verdict("d", "worse", 0.001, -0.002, 0.004, 0.5, 5),  # which an earlier look has settled
        Verdict("e", "equivalent", -0.003, -0.006, 0.0, 0.5, 5),
    ]
    before = {"a": "better", "b": "worse", "c": "undecided", "d": "worse", "e": "equivalent"}
    assert overturned(before, now, margin=0.002) == [
        "a was better, and is equivalent",
        "c was undecided, and is not in the study any more",
        "d was worse, and is at +0.10 points, between -0.20 and +0.40",
        "e was equivalent, and is at -0.30 points, between -0.60 and +0.00",
    ]
