"""The ledger: every claim the book displays as an equation has a test, and every test a claim.

A claim carries a label `eq-<chapter>-<name>`; its tests stand in tests/equations/ and are named
after it, `test_eq_<chapter>_<name>`, with `__anything` behind where there are several. Definitions
carry `def-...` and need no test.
"""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import myst
import notebooks
import pytest

ROOT = Path(__file__).resolve().parent.parent
LABEL = re.compile(r"eq(-[a-z0-9]+){2,}|def(-[a-z0-9]+)+")
PRACTICE = ("exercise", "solution")


def markdown_texts(root: Path) -> list[tuple[str, list[str]]]:
    """(page, its Markdown in reading order) for every page of the book."""
    texts = [
        (f"{entry}.md", [(root / f"{entry}.md").read_text(encoding="utf-8")])
        for entry in notebooks.toc_entries(root)
        if (root / f"{entry}.md").exists()
    ]
    for chapter in notebooks.chapters(root):
        cells = notebooks.cells_of(chapter.notebook, "markdown")
        texts.append((str(chapter.path.relative_to(root)), [notebooks.source(c) for c in cells]))
    return texts


def read_equations(page: str, texts: Iterable[str]) -> tuple[set[str], list[str]]:
    """The labels of a page's displayed equations, and what is wrong with them."""
    labels: set[str] = set()
    problems: list[str] = []
    practising = False
    for text in texts:
        for token, _ in myst.walk(text):
            gate = myst.directive(token)
            if gate and gate.name in [f"{kind}-start" for kind in PRACTICE]:
                practising = True
            elif gate and gate.name in [f"{kind}-end" for kind in PRACTICE]:
                practising = False
        for display in myst.displays(text):
            excerpt = " ".join(display.text.split())[:60]
            if display.label:
                labels.add(display.label)
                if not LABEL.fullmatch(display.label):
                    problems.append(
                        f"{page}: label {display.label!r} of `{excerpt}`: a claim is labelled"
                        " eq-<chapter>-<name>, a definition def-<name>."
                    )
            elif not (practising or set(PRACTICE) & set(display.inside)):
                problems.append(
                    f"{page}: `{excerpt}` is displayed without a label: write `$$ (eq-...)` below"
                    " it and a test, or `$$ (def-...)` if it defines something. Lines of one"
                    " derivation go into one `aligned` block."
                )
    return labels, problems


def asserts(function: ast.FunctionDef) -> bool:
    """Whether a test can fail: an `assert` on something that is computed, or a call of one."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert) and not isinstance(node.test, ast.Constant):
            return True
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1][:6] == "assert":
            return True
    return False


def read_tests(name: str, code: str) -> tuple[set[str], list[str]]:
    """The labels a file of tests covers, and what is wrong with its tests."""
    labels: set[str] = set()
    problems: list[str] = []
    for node in ast.parse(code).body:
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        label = node.name.removeprefix("test_").partition("__")[0].replace("_", "-")
        if not label.startswith("eq-"):
            problems.append(f"{name}: {node.name} is named after no equation (test_eq_...).")
        elif not asserts(node):
            problems.append(f"{name}: {node.name} asserts nothing, so it cannot fail.")
        else:
            labels.add(label)
    return labels, problems


def compare(displayed: set[str], tested: set[str]) -> list[str]:
    claims = {label for label in displayed if label.startswith("eq-")}
    missing = [
        f"{label} has no test: write test_{label.replace('-', '_')} in tests/equations/."
        for label in sorted(claims - tested)
    ]
    orphans = [
        f"test_{label.replace('-', '_')} tests an equation that no page displays."
        for label in sorted(tested - claims)
    ]
    return missing + orphans


def test_every_displayed_claim_has_a_test_and_every_test_a_claim() -> None:
    displayed: set[str] = set()
    tested: set[str] = set()
    problems: list[str] = []
    for page, texts in markdown_texts(ROOT):
        labels, wrong = read_equations(page, texts)
        displayed |= labels
        problems += wrong
    for path in sorted((ROOT / "tests" / "equations").glob("test_*.py")):
        labels, wrong = read_tests(path.name, path.read_text(encoding="utf-8"))
        tested |= labels
        problems += wrong
    problems += compare(displayed, tested)
    assert displayed, "no page displays an equation: is _toc.yml read?"
    assert not problems, "\n" + "\n".join(problems)


# The ledger itself: it reads every way an equation is written, and catches every mistake. ---------


@pytest.mark.parametrize(
    "text",
    [
        "$$\nx = 1\n$$ (eq-a-one)",
        "$$ x = 1 $$ (eq-a-one)",
        "- in a list\n\n  $$\n  x = 1\n  $$ (eq-a-one)",
        "```{math}\n:label: eq-a-one\nx = 1\n```",
        ":::{math}\n:name: eq-a-one\nx = 1\n:::",
        "::::{admonition} Step\n:class: derivation\n\n$$\nx = 1\n$$ (eq-a-one)\n::::",
        "$$\n\\begin{aligned}\nx &= 0 + 1 \\\\\n&= 1\n\\end{aligned}\n$$ (eq-a-one)",
    ],
)
def test_a_labelled_equation_is_read(text: str) -> None:
    assert read_equations("page", [text]) == ({"eq-a-one"}, [])


@pytest.mark.parametrize(
    "text",
    [
        "$$\nx = 1\n$$",
        "$$ x = 1 $$",
        "A line with $$x = 1$$ in it.",
        "```{math}\nx = 1\n```",
        "\\begin{align}\nx &= 1\n\\end{align}",
        ":::{admonition} Box\n$$\nx = 1\n$$\n:::",
        "$$\nx = 1\n$$ (kl)",
        "$$\nx = 1\n$$ (eq-one)",
    ],
)
def test_an_equation_without_a_proper_label_is_caught(text: str) -> None:
    _, problems = read_equations("page", [text])
    assert len(problems) == 1
    assert "x" in problems[0]


@pytest.mark.parametrize(
    "texts",
    [
        [":::{exercise}\n:label: ex-a\n$$\nx\n$$\n:::"],
        [":::{solution} ex-a\n$$\nx\n$$\n:::"],
        [":::{exercise-start}\n:label: ex-a\n:::", "$$\nx\n$$", ":::{exercise-end}\n:::"],
        ["Inline $x = 1$ and `$$ code $$`.", "```text\n$$\nx\n$$\n```"],
    ],
)
def test_practice_inline_and_code_need_no_label(texts: list[str]) -> None:
    assert read_equations("page", texts) == (set(), [])


def test_after_an_exercise_labels_are_due_again() -> None:
    texts = [":::{solution-start} ex-a\n:::", "$$\nx\n$$", ":::{solution-end}\n:::", "$$\ny\n$$"]
    _, problems = read_equations("page", texts)
    assert len(problems) == 1
    assert "`y`" in problems[0]


def test_the_two_lists_are_compared() -> None:
    assert compare({"eq-a-one", "def-a-two"}, {"eq-a-one"}) == []
    assert "eq-a-one has no test" in compare({"eq-a-one"}, set())[0]
    assert "no page displays" in compare({"def-a-one"}, {"eq-a-one"})[0]


def test_tests_are_read_by_name() -> None:
    code = "def test_eq_a_one__left():\n    assert f() == 1\ndef helper():\n    pass\n"
    assert read_tests("t.py", code) == ({"eq-a-one"}, [])
    code = "def test_eq_a_one():\n    torch.testing.assert_close(a, b)\n"
    assert read_tests("t.py", code) == ({"eq-a-one"}, [])


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def test_eq_a_one():\n    f()\n", "asserts nothing"),
        ("def test_eq_a_one():\n    assert True\n", "asserts nothing"),
        ("def test_one():\n    assert f()\n", "named after no equation"),
    ],
)
def test_a_test_that_proves_nothing_is_caught(code: str, says: str) -> None:
    labels, problems = read_tests("t.py", code)
    assert not labels
    assert says in problems[0]
