"""What the options of `ablate.recipe` may be given, read from their source: a config is checked without torch.

Importing a module of options imports torch, for seconds, for which a config with a mistake need not wait. Of a module
only what an option's annotations name is evaluated: what it imports, its aliases and its TypedDicts.
"""

from __future__ import annotations
import __future__

import ast
import functools
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

_OURS = "ablate.recipe."  # modules that are read, too, where an annotation needs them


@functools.cache
def hints(module_name: str, name: str) -> Mapping[str, Any] | None:
    """The annotations of a function's keyword-only parameters, those of `**name: Unpack[...]` too, or of a dataclass.

    None where the module, or a public function or dataclass of its own, is not there.
    """
    names = _names(module_name)
    if names is None or name.startswith("_"):
        return None
    match names.defined.get(name):
        case ast.FunctionDef() as function:
            return dict(_parameters(function, names))
        case ast.ClassDef() as kind if any(_is_dataclass(each) for each in kind.decorator_list):
            return dict(_fields(kind, names))
    return None


class _Names(dict[str, Any]):
    """What a module's names mean, each evaluated when it is first asked for."""

    def __init__(self, tree: ast.Module) -> None:
        super().__init__()
        self.defined = dict(_defined(tree))

    def __missing__(self, name: str) -> Any:
        if name not in self.defined:
            raise KeyError(name)
        self[name] = value = self._value(name, self.defined[name])
        return value

    def evaluate(self, annotation: ast.expr) -> Any:
        """What an annotation of this module means."""
        return eval(compile(ast.Expression(annotation), "<annotation>", "eval"), self, self)

    def _value(self, name: str, node: ast.stmt) -> Any:
        match node:
            case ast.ImportFrom(module=str(module)):
                original = next(each.name for each in node.names if name in (each.name, each.asname))
                if module.startswith(_OURS) and (ours := _names(module)) is not None:
                    return ours[original]
                return getattr(importlib.import_module(module), original)
            case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
                return self.evaluate(value)
            case ast.ClassDef():
                return TypedDict(name, dict(_fields(node, self)))  # type: ignore[operator]
            case ast.FunctionDef():  # that judges a value
                flags = __future__.annotations.compiler_flag  # its own annotations are nobody's concern
                exec(compile(ast.Module([node], []), "<annotation>", "exec", flags), self, made := dict[str, Any]())
                return made[name]
        raise KeyError(name)


@functools.cache
def _names(module_name: str) -> _Names | None:
    # Not by importlib's find_spec, which imports the packages that a module is in.
    place = Path(__file__).parents[1].joinpath(*module_name.split(".")[1:])
    source = next((each for each in (place.with_suffix(".py"), place / "__init__.py") if each.is_file()), None)
    return _Names(ast.parse(source.read_bytes())) if source else None


def _defined(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """The statements that define a module's names, by name."""
    for node in tree.body:
        match node:
            case ast.ImportFrom():
                yield from ((each.asname or each.name, node) for each in node.names)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name, node


def _parameters(function: ast.FunctionDef, names: _Names) -> Iterator[tuple[str, Any]]:
    for each in function.args.kwonlyargs:
        yield each.arg, names.evaluate(each.annotation) if each.annotation else Any
    match function.args.kwarg:
        case ast.arg(annotation=ast.Subscript(value=ast.Name(id="Unpack"), slice=ast.Name(id=name))):
            shared = names.defined[name]
            assert isinstance(shared, ast.ClassDef), f"{name}: expected a TypedDict of the same module"
            yield from _fields(shared, names)


def _fields(kind: ast.ClassDef, names: _Names) -> Iterator[tuple[str, Any]]:
    for base in kind.bases:
        if isinstance(base, ast.Name) and isinstance(of_base := names.defined.get(base.id), ast.ClassDef):
            yield from _fields(of_base, names)
    for node in kind.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, names.evaluate(node.annotation)


def _is_dataclass(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Name) and called.id == "dataclass"
