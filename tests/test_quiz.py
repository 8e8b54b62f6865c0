"""The questions at the end of the chapters: well formed in the notebooks, and alive on the pages."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import myst
import notebooks
import pytest
from chromium import Visit, served, unavailable
from notebooks import Chapter
from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_build" / "html"
BOOK = notebooks.chapters(ROOT)
# The page whose quiz is tried in every way; that each choice answers is tried on all of them.
PAGE = "book/2-derivations/01-kl-divergence.html"
# Before any script runs: without the rest of its chapter a page is typeset and laid out in no time.
THE_QUIZ_ALONE = """document.addEventListener("readystatechange", () => {
    for (const section of document.querySelectorAll("article section section"))
        if (!section.querySelector(".quiz")) section.remove();
}, {once: true});"""


# The questions, as the notebooks write them --------------------------------------------------------


@dataclass(frozen=True)
class Question:
    text: str
    choices: list[str]
    replies: list[str]

    @property
    def right(self) -> list[int]:
        """Places of the right answers, counted from 1."""
        return [i for i, reply in enumerate(self.replies, 1) if reply.startswith("**Right.** ")]


def list_items(markdown: str) -> list[str]:
    """Text of the items of every numbered list, those inside directives left out."""
    items, depth = [], 0
    for token in myst.PARSER.parse(markdown):
        depth += (token.type == "ordered_list_open") - (token.type == "ordered_list_close")
        if token.type == "inline" and depth > 0:
            items.append(token.content)
    return items


def questions(markdown: str) -> list[Question]:
    found = []
    for box in myst.directives(markdown):
        if box.name == "admonition" and "quiz" in box.options.get("class", "").split():
            replies = [d for d in myst.directives(box.body) if d.name == "dropdown"]
            text = box.body.strip().partition("\n\n")[0]
            found.append(
                Question(text, list_items(box.body), [r for d in replies for r in list_items(d.body)])
            )
    return found


def problems(question: Question) -> list[str]:
    said = []
    if len(question.choices) < 3:
        said.append(f"{len(question.choices)} choices, three at least.")
    if len(set(question.choices)) < len(question.choices):
        said.append("two choices are the same.")
    if len(question.replies) != len(question.choices):
        said.append(f"{len(question.choices)} choices and {len(question.replies)} replies.")
    if not all(re.match(r"\*\*(Right|No)\.\*\* \S", reply) for reply in question.replies):
        said.append("a reply starts with neither **Right.** nor **No.**")
    if len(question.right) != 1:
        said.append(f"{len(question.right)} right answers, one is due.")
    return said


def page_of(chapter: Chapter) -> str:
    return f"{chapter.path.relative_to(ROOT).with_suffix('')}.html"


def quiz_of(chapter: Chapter) -> list[Question]:
    cells = [cell for cell in chapter.notebook["cells"] if cell["id"] == "quiz"]
    return [question for cell in cells for question in questions(notebooks.source(cell))]


@pytest.mark.parametrize("chapter", BOOK, ids=lambda chapter: chapter.path.stem)
def test_the_chapter_ends_in_a_quiz(chapter: Chapter) -> None:
    texts = {cell["id"]: notebooks.source(cell) for cell in chapter.notebook["cells"]}
    names = list(texts)
    assert (2, "Test yourself") in myst.headings(texts["quiz"])
    assert (2, "Exercises") in myst.headings(texts[names[names.index("quiz") + 1]])
    quiz = quiz_of(chapter)
    assert 3 <= len(quiz) <= 5
    for question in quiz:
        assert not problems(question), f"{question.text}\n" + "\n".join(problems(question))


def test_no_place_gives_the_answer_away() -> None:
    """Neither where the right choice stands nor how long it is."""
    quizzes = [quiz_of(chapter) for chapter in BOOK]
    assert all(len({question.right[0] for question in quiz}) > 1 for quiz in quizzes)
    book = [question for quiz in quizzes for question in quiz]
    places = Counter(question.right[0] for question in book)
    assert all(places[place] > len(book) / 4 for place in (1, 2, 3)), places
    longest = [q for q in book if max(q.choices, key=len) == q.choices[q.right[0] - 1]]
    assert len(longest) < len(book) / 2, f"the right choice is the longest in {len(longest)} of {len(book)}"


GOOD = """\
:::{admonition} Question 1
:class: quiz

What is $1 + 1$?

1. One.
2. Two.
3. Three.

```{dropdown} What each answer says
1. **No.** That is one of the two.
2. **Right.** It adds up.
3. **No.** One too many.
```
:::
"""


def test_a_good_question_passes() -> None:
    (question,) = questions(GOOD)
    assert question == Question(
        "What is $1 + 1$?",
        ["One.", "Two.", "Three."],
        ["**No.** That is one of the two.", "**Right.** It adds up.", "**No.** One too many."],
    )
    assert question.right == [2]
    assert not problems(question)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("3. Three.\n", "", "2 choices, three"),
        ("3. Three.", "3. Two.", "the same"),
        ("3. **No.** One too many.\n", "", "3 choices and 2 replies"),
        ("**No.** One", "Wrong. One", "neither"),
        ("**No.** One", "**Right.** One", "2 right answers"),
        ("**Right.**", "**No.**", "0 right answers"),
    ],
)
def test_a_bad_question_is_caught(old: str, new: str, said: str) -> None:
    assert old in GOOD
    (question,) = questions(GOOD.replace(old, new))
    assert said in "\n".join(problems(question))


# The pages, in a browser ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home() -> Iterator[str]:
    if not (SITE / PAGE).exists() or not (ROOT / "_build" / ".built-from").exists():
        unavailable("The book is not built, or its last build failed: run `make book`.")
    with served(SITE) as address:
        yield address


@pytest.fixture
def visit(tab: Page, home: str) -> Iterator[Visit]:
    visit = Visit(tab, home)
    visit.open(PAGE)
    yield visit
    assert not visit.problems, "\n".join(visit.problems)
    assert tab.context.cookies() == []
    assert tab.evaluate("Object.keys(localStorage).filter(key => key.includes('quiz'))") == []


def quiz_on(page: str) -> list[Question]:
    (quiz,) = [quiz_of(c) for c in BOOK if page == page_of(c)]
    return quiz


def box(page: Page, number: int) -> Locator:
    return page.locator(".admonition.quiz").nth(number)


@pytest.mark.site
@pytest.mark.parametrize("chapter", BOOK, ids=lambda chapter: chapter.path.stem)
def test_every_choice_has_its_reply(chapter: Chapter, tab: Page, home: str) -> None:
    """On every page each choice shows one reply, its own, and no word stands outside its box on a phone."""
    visit = Visit(tab, home)
    tab.set_viewport_size({"width": 320, "height": 800})
    tab.add_init_script(THE_QUIZ_ALONE)
    visit.open(page_of(chapter))
    quiz = quiz_of(chapter)
    assert tab.locator(".admonition.quiz").count() == len(quiz)
    for number, question in enumerate(quiz):
        labels = box(tab, number).locator("label")
        assert labels.count() == len(question.choices)
        for place in range(len(question.choices)):
            labels.nth(place).click()
            replies = box(tab, number).get_by_role("status").locator("li:visible")
            assert replies.count() == 1
            word = "Right." if place + 1 in question.right else "No."
            assert replies.inner_text().startswith(word), question.text
            assert labels.nth(place).inner_text().endswith("right" if word == "Right." else "no")
            assert box(tab, number).evaluate("box => box.scrollWidth <= box.clientWidth"), question.text
    assert not visit.problems, "\n".join(visit.problems)


@pytest.mark.site
def test_a_click_answers_and_the_reader_may_try_again(visit: Visit) -> None:
    page, question = visit.page, box(visit.page, 0)
    status, choices = question.get_by_role("status"), question.get_by_role("radio")
    progress = page.locator(".quiz-progress")
    count = page.locator(".admonition.quiz").count()
    assert status.inner_text().strip() == ""
    assert progress.inner_text() == f"0 of {count} questions answered."

    right = quiz_on(PAGE)[0].right[0] - 1
    wrong = (right + 1) % 3
    choices.nth(wrong).check()
    assert status.inner_text().startswith("No.")
    choices.nth(right).check()
    assert status.inner_text().startswith("Right.")
    assert progress.inner_text() == f"1 of {count} questions answered, 0 right at the first try."
    assert question.locator(".quiz-wrong .quiz-mark").inner_text() == "no"

    box(page, 1).get_by_role("radio").nth(quiz_on(PAGE)[1].right[0] - 1).check()
    assert progress.inner_text() == f"2 of {count} questions answered, 1 right at the first try."


@pytest.mark.site
def test_the_keyboard_is_enough(visit: Visit) -> None:
    """Arrow keys walk without answering, the space bar and Enter answer, Tab goes on to the next question."""
    page = visit.page
    status, choices = box(page, 0).get_by_role("status"), box(page, 0).get_by_role("radio")
    focus = "box => [...box.querySelectorAll('input')].indexOf(document.activeElement)"
    choices.first.focus()
    for key, place in (
        ("ArrowDown", 1),
        ("ArrowRight", 2),
        ("ArrowDown", 0),
        ("ArrowUp", 2),
        ("ArrowLeft", 1),
    ):
        page.keyboard.press(key)
        assert box(page, 0).evaluate(focus) == place
        assert box(page, 0).locator("input:checked").count() == 0
        assert status.inner_text().strip() == ""
    page.keyboard.press("Space")
    assert choices.nth(1).is_checked()
    assert status.inner_text().strip() != ""
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert choices.nth(2).is_checked()

    for _ in range(10):
        page.keyboard.press("Tab")
        if box(page, 1).evaluate(focus) >= 0:
            break
    assert box(page, 1).evaluate(focus) == 0
    page.keyboard.press("Space")
    assert box(page, 1).get_by_role("radio").first.is_checked()


@pytest.mark.site
def test_a_screen_reader_is_told_what_it_needs(visit: Visit) -> None:
    """The choices are named by their question; the reply is text that appears in a live region."""
    question = box(visit.page, 0)
    group = question.get_by_role("radiogroup")
    assert "Question 1" in group.aria_snapshot()
    assert question.locator("[role=status]").count() == 1
    question.get_by_role("radio").first.check()
    spoken = question.get_by_role("status").aria_snapshot()
    assert "No." in spoken or "Right." in spoken
    # The sign before the word is drawn and not spoken.
    assert not re.search("[\ue000-\uf8ff]", spoken + group.aria_snapshot())


@pytest.mark.site
def test_formulas_survive_the_move(visit: Visit) -> None:
    formulas = visit.page.locator(".admonition.quiz .math")
    assert formulas.count() > 10
    assert visit.page.locator(".admonition.quiz .math:not(:has(mjx-container))").count() == 0
    written = sum("$" in choice for question in quiz_on(PAGE) for choice in question.choices)
    assert visit.page.locator(".admonition.quiz label:has(mjx-container)").count() == written > 0
    box(visit.page, 0).get_by_role("radio").first.check()
    assert box(visit.page, 0).locator("[role=status] li:visible mjx-container").first.is_visible()


@pytest.mark.site
def test_paper_shows_choices_and_replies(visit: Visit) -> None:
    visit.page.emulate_media(media="print")
    first = quiz_on(PAGE)[0]
    assert box(visit.page, 0).locator(".quiz-reply li:visible").count() == len(first.replies)
    assert box(visit.page, 0).locator("label:visible").count() == len(first.choices)
    assert not box(visit.page, 0).locator("input").first.is_visible()
    assert not visit.page.locator(".quiz-progress").is_visible()


@pytest.mark.site
def test_without_a_script_the_replies_are_in_a_dropdown(browser: Browser, home: str) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(home + PAGE)
    replies = box(page, 0).locator("details ol")
    assert box(page, 0).locator(":scope > ol > li").count() == 3
    assert not replies.is_visible()
    box(page, 0).locator("summary").click()
    assert replies.is_visible()
    assert "Right." in replies.inner_text()
    page.close()
