"""What is shown of a run: while it goes, in a line, and on a page."""

from html.parser import HTMLParser
from io import StringIO

from rich.console import Console

from simulations.chaos.live import Live
from simulations.chaos.noticing import Noticed
from simulations.chaos.report import report, summary
from simulations.chaos.runner import ChaosResult, ExperimentResult, chosen
from simulations.chaos.scoring import Measured, Scored, score, suite
from simulations.chaos.trial import TrialResult

MEASURED = Measured(bad_share=0.1, bad_share_max=0.5, recovery_s=4.2, recovery_target_s=10.0, dip=0.05, detected=1.0)
DONE = TrialResult(
    experiment="bus-killed",
    seed=7,
    status="done",
    score=score(MEASURED),
    backend="SIGKILL",
    measured=MEASURED,
    performance={0: (9, 9), 1: (3, 9), 2: (9, 9)},
    struck_at_s=0.4,
    recovered_at_s=1.1,
    noticed=[Noticed(at_s=0.1, what="part:early"), Noticed(at_s=0.5, what="alert:availability")],
)
VOID = TrialResult(experiment="bus-killed", seed=8, status="void", reason="kill <did> not bite")


class Tags(HTMLParser):
    """The elements of a page, and its words."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the parser's signature
        self.found.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


def result() -> ChaosResult:
    scored = Scored(name="bus-killed", kind="process", weight=8, scores=(DONE.score or 0.0,), voids=1)
    return ChaosResult(
        who="an unprivileged user",
        suite=suite([scored]),
        experiments=[
            ExperimentResult(
                name="bus-killed",
                title="The bus is killed",
                description="It is started again.",
                kind="process",
                weight=8,
                trials=[DONE, VOID],
            )
        ],
        missing={"fail_fsync": "there is no C compiler for the shim"},
    )


def test_the_page_has_every_trial_with_its_curve_and_what_it_was_worth() -> None:
    page = Tags()
    page.feed(report(result()))

    assert page.found.count("svg") == 1
    assert "alert:availability at 0.5 s" in page.words
    assert "part:early" not in page.words, "it was noticed before the fault struck"
    assert "1 trials are void" in page.words
    assert "kill <did> not bite" in page.words
    assert "an unprivileged user" in page.words
    assert "there is no C compiler" in page.words


def test_the_summary_has_a_line_per_experiment_and_what_was_covered() -> None:
    words = summary(result())

    assert "bus-killed" in words
    assert "done, void" in words
    assert "1 of 1 experiments done, 1 of 8 kinds of fault, 1 void trials, 0 failed" in words
    assert "not known (no experiment has two trials)" in words


def test_what_goes_on_is_said_where_nothing_can_be_drawn() -> None:
    said = StringIO()
    live = Live(Console(file=said, force_terminal=False))
    live.on_target("a node is started")
    live.on_phase("settling")
    live.on_result(chosen(["bus-killed"])[0], VOID)

    assert said.getvalue().splitlines() == [
        "a node is started",
        ": settling",
        "bus-killed (seed 8): void  kill <did> not bite",
    ]


def test_on_a_terminal_it_is_drawn() -> None:
    said = StringIO()
    with Live(Console(file=said, force_terminal=True, width=100)) as live:
        live.on_target("a node is started")

    assert "a node is started" in said.getvalue()
