"""The exercises of a chapter: what a learner fills in, what checks it, and the code that a check needs.

From `solution-start` to `solution-end` everything is answer, except the cells tagged `check`. In a code
cell with the two marks only what stands between them is answer, and the cell below, tagged `check`,
judges it. A code cell without marks is a worked experiment.

A check can be run by itself, in a second instead of the minutes of its chapter: `program` takes along the
few statements above that it needs.
"""

import ast
import functools
import re
import symtable
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import myst
from notebooks import Cell, Notebook, source, without_magic

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
REGION = re.compile(rf"^([ \t]*){BEGIN}[ \t]*\n(.*?)^[ \t]*{END}[ \t]*$", flags=re.MULTILINE | re.DOTALL)
STUB = "# Your code here, in place of the next line.\nraise NotImplementedError({task!r})"


@dataclass(frozen=True)
class Exercise:
    """An exercise whose answer is code that a check judges; the two numbers count the notebook's cells."""

    label: str
    solution: int
    check: int


def is_check(cell: Cell) -> bool:
    return "check" in cell.get("metadata", {}).get("tags", [])


def answer_cells(notebook: Notebook) -> Iterator[tuple[int, str]]:
    """Every code cell that holds an answer, with the label of its exercise."""
    label = ""
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "markdown":
            for block in myst.directives(source(cell)):
                if block.name in ("solution-start", "solution-end"):
                    label = block.argument
        elif label and not is_check(cell):
            yield number, label


def code_exercises(notebook: Notebook) -> list[Exercise]:
    """The exercises with a marked answer.

    Raises:
        ValueError: no check stands below a marked answer.
    """
    found = []
    for number, label in answer_cells(notebook):
        if BEGIN not in source(notebook["cells"][number]):
            continue
        below = notebook["cells"][number + 1 : number + 2]
        if not (below and is_check(below[0])):
            raise ValueError(f"{label}: below a cell with {BEGIN!r} belongs a cell tagged `check`.")
        found.append(Exercise(label, number, number + 1))
    return found


def filled(code: str, body: str) -> str:
    """The code with `body` in place of the marked answer."""
    body = textwrap.dedent(body).strip("\n")
    return REGION.sub(lambda found: textwrap.indent(body, found[1]), code)


def function_name(code: str) -> str:
    """The function whose body the marks enclose."""
    return re.findall(r"^\s*def (\w+)", code.partition(BEGIN)[0], flags=re.MULTILINE)[-1]


def stub(code: str) -> str:
    """The code as a learner gets it."""
    return filled(code, STUB.format(task=f"Exercise: write {function_name(code)}"))


# Slicing ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Statement:
    """A top-level statement and the global names it touches."""

    code: str
    binds: frozenset[str]
    changes: frozenset[str]  # what it alters in place: `model` in `model.eval()`
    reads: frozenset[str]  # as it runs, before it binds them itself
    reads_later: frozenset[str]  # in the bodies of functions, which run when they are called
    certain: bool


def table_of(tree: ast.AST) -> symtable.SymbolTable:
    return symtable.symtable(ast.unparse(tree), "cell", "exec")


def names_in(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def bound(tree: ast.AST) -> set[str]:
    symbols = table_of(tree).get_symbols()
    return {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}


def used(table: symtable.SymbolTable, later: bool = False) -> Iterator[tuple[str, bool]]:
    """(global name, whether only a function's body reads it) in a scope and those within."""
    top = table.get_type() == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (top or symbol.is_global()):
            yield symbol.get_name(), later
    for child in table.get_children():
        runs_now = child.get_type() == "class" or child.get_name().endswith(("comp", "genexpr"))
        yield from used(child, later or not runs_now)


def reads(trees: Sequence[ast.stmt]) -> set[str]:
    """The names that must have a value before the statements run."""
    wanted: set[str] = set()
    for tree in reversed(trees):
        match tree:
            case ast.For():
                inner = reads(tree.body) - names_in(tree.target)
                wanted = (wanted - bound(tree)) | inner | reads([ast.Expr(tree.iter), *tree.orelse])
            case ast.If():
                wanted |= reads(tree.body) | reads(tree.orelse) | reads([ast.Expr(tree.test)])
            case ast.With():
                wanted = (wanted - bound(tree)) | reads(tree.body)
                for item in tree.items:
                    wanted -= names_in(item.optional_vars) if item.optional_vars else set()
                    wanted |= reads([ast.Expr(item.context_expr)])
            case _:
                if certain(tree):
                    wanted -= bound(tree)
                wanted |= {name for name, later in used(table_of(tree)) if not later}
    return wanted


def certain(tree: ast.stmt) -> bool:
    """Whether a statement gives its names a new value in any case; loops are taken to run."""
    return not isinstance(tree, ast.While | ast.If | ast.Try | ast.AugAssign)


def root(node: ast.expr) -> str:
    """`a` of `a.b[0].c()`."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def changed(tree: ast.stmt, modules: frozenset[str]) -> Iterator[str]:
    """Names whose objects a statement alters: assigned into, or the owner of a method called for its effect.

    What a function does to its arguments is not seen, so a check has to do without trained models.
    """
    if isinstance(tree, ast.FunctionDef | ast.ClassDef):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            yield root(node)
        elif (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Attribute)
        ):
            owner = root(node.value.func)
            # torch.set_default_dtype(torch.float64) alters torch; torch.save(model, path) does not.
            if owner not in modules or (node is tree and names_in(node) <= modules):
                yield owner


@functools.cache
def modules_of(cell: str) -> frozenset[str]:
    trees = ast.parse(without_magic(cell)).body
    imports = [tree for tree in trees if isinstance(tree, ast.Import | ast.ImportFrom)]
    return frozenset().union(*(bound(tree) for tree in imports))


@functools.cache
def statements(cell: str, modules: frozenset[str]) -> tuple[Statement, ...]:
    return tuple(
        Statement(
            ast.unparse(tree),
            frozenset(bound(tree)),
            frozenset(changed(tree, modules)),
            frozenset(reads([tree])),
            frozenset(name for name, later in used(table_of(tree)) if later),
            certain(tree),
        )
        for tree in ast.parse(without_magic(cell)).body
    )


def needed(cells: Sequence[str], target: str) -> str:
    """The statements of earlier cells that the target needs, names of names included, in their order."""
    modules = frozenset().union(*map(modules_of, cells))
    before = [statement for cell in cells for statement in statements(cell, modules)]
    tree = ast.parse(target)
    called_there = {name for name, later in used(table_of(tree)) if later}
    at_the_end = reads(tree.body) | called_there - bound(tree)
    while True:
        wanted, called, kept = set(at_the_end), set[str](), list[str]()
        for statement in reversed(before):
            if not wanted & (statement.binds | statement.changes):
                continue
            kept.append(statement.code)
            if statement.certain:
                wanted -= statement.binds
            wanted |= statement.reads | statement.reads_later
            called |= statement.reads_later
        # A function reads its names when it is called, so a later binding counts as well.
        if called <= at_the_end:
            return "\n".join(reversed(kept))
        at_the_end |= called


def program(notebook: Notebook, exercise: Exercise, answer: str) -> str:
    """The answer cell, its check, and of the cells above what these two need, as one program.

    Other answers are left out, so that an exercise that needs one does not run.
    """
    others = {number for number, _ in answer_cells(notebook)}
    above = [
        source(cell)
        for number, cell in enumerate(notebook["cells"][: exercise.solution])
        if cell["cell_type"] == "code" and number not in others
    ]
    check = source(notebook["cells"][exercise.check])
    return f"{needed([*above, answer], check)}\n\n{check}\n"
