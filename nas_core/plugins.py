"""What a person adds without editing the package: *plugins*, files of Python that register their own things.

A plugin imports the registries that it needs and calls their one method, :meth:`nas_core.registry.Registry.register`::

    from nas_core.relaxations import RELAXATIONS, Relaxation

    RELAXATIONS.register("tempered", Relaxation("tempered", tempered_draw, tempered_gradient))

It is loaded by ``NAS_PLUGINS=my.py`` (several with colons between them), by :func:`load` from a notebook, or as a cell
of a notebook by :func:`load_source` and ``%%plugin``; either way workers and child processes load it, too. Its source
is part of the key of every run that uses what it registered: other code under the same name is another run.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from nas_core.errors import UserError
from nas_core.files import location, make_folder, write_atomic
from nas_core.imports import digest, follow, normalised
from nas_core.registry import CELL, LOADING, REGISTRIES, Plugin, Registry

VARIABLE = "NAS_PLUGINS"


_loaded: dict[Path, Plugin] = {}  # in the order of loading
_opened: list[Path] = []  # folders of plugins that were put on the path of imports


def load(path: str | Path) -> ModuleType:
    """Load a plugin and return its module; if it was loaded before, what it registered then is taken back first.

    ``$NAS_PLUGINS`` of this process names it from now on. A plugin that fails changes nothing, and is a
    :class:`UserError` that names file and error.
    """
    path = _checked(path)
    try:
        plugin = Plugin(path, _digest(path))
    except (OSError, SyntaxError, ValueError) as error:
        raise _failure(path, error) from error
    with _all_or_nothing(path):
        _take_back(path)
        module = _execute(plugin)
        _loaded[path] = plugin
    listed = _listed()
    if path not in listed:
        _list([*listed, path])
    return module


def load_all() -> None:
    """Load the plugins that ``$NAS_PLUGINS`` names and that are not loaded yet."""
    for path in _listed():
        if path not in _loaded:
            load(path)


def load_source(text: str) -> ModuleType:
    """Load a plugin from its source, as in a cell of a notebook; it is kept in the store, for workers to find.

    It may register anew what other cells have registered; a cell with nothing left is forgotten.
    """
    try:
        name = hashlib.sha256(normalised(text).encode()).hexdigest()[:12]
    except (SyntaxError, ValueError) as error:
        raise UserError(f"the cell cannot be loaded as a plugin ({type(error).__name__}: {error}).") from error
    path = make_folder(location() / "plugins") / f"{CELL}{name}.py"
    write_atomic(path, text.encode())
    before = _at_work()
    module = load(path)
    for other in before - _at_work():
        unload(other)
    return module


def unload(path: str | Path) -> None:
    """Take back all that a plugin has registered, and forget it."""
    path = Path(path).expanduser().absolute()
    _take_back(path)
    if _loaded.pop(path, None) is not None:
        sys.modules.pop(path.stem, None)
        _close_folders()
    _list([other for other in _listed() if other != path])


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext nas_core.plugins``: a cell that begins with ``%%plugin`` is one, and the notebook knows its names."""

    def plugin(line: str, cell: str) -> None:
        found = vars(load_source(cell))
        shell.push({name: value for name, value in found.items() if not name.startswith("_")})

    shell.register_magic_function(plugin, "cell")


def loading() -> bool:
    """Whether a plugin is being loaded, so that things can be registered."""
    return bool(LOADING)


def loaded() -> dict[str, str]:
    """The digests of all plugins of this process, by path."""
    return {str(path): plugin.digest for path, plugin in _loaded.items()}


def match(wanted: Mapping[str, str]) -> None:
    """Load what another process has :func:`loaded`; a file that has changed since is a :class:`UserError`."""
    for name, expected in wanted.items():
        path = Path(name)
        if loaded().get(name) != expected:
            load(path)
        if _loaded[path].digest != expected:
            raise UserError(f"the plugin {path} has changed since it was loaded: load it again.")


def digest_of(module: str) -> str:
    """The digest of the plugin whose module this is; "" if it is none."""
    for path, plugin in _loaded.items():
        if path.stem == module:
            return plugin.digest
    return ""


def _checked(path: str | Path) -> Path:
    """The absolute path of a file that can be a plugin."""
    path = Path(path).expanduser().absolute()
    if path.suffix != ".py" or not path.is_file():
        raise UserError(f"the plugin {path} is no file of Python (*.py).")
    if not path.stem.isidentifier() or os.pathsep in str(path):
        raise UserError(f"the plugin {path} cannot be imported by that name: rename it, as in my_plugin.py.")
    found = sys.modules.get(path.stem)
    origin = getattr(found, "__file__", None)
    if found is None:
        spec = find_spec(path.stem)
        origin = None if spec is None else spec.origin
    if origin is not None and Path(origin).absolute() != path:
        raise UserError(f"the plugin {path} has the name of another module ({origin}): rename it.")
    return path


def _digest(path: Path) -> str:
    return digest(_modules(path))


def _modules(path: Path) -> dict[str, Any]:
    """The plugin and the modules in its folder that it imports, by name."""
    return follow(path.stem, {"": path.parent})


class _Loader(SourceFileLoader):
    """Compiles the file as it is now: a cache tells files apart by the second of their last change only."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _execute(plugin: Plugin) -> ModuleType:
    """Run the file as the module of its name, with its folder open for imports."""
    path = plugin.path
    before = _loaded.get(path)
    if before is not None and before.digest != plugin.digest:
        for name in _modules(path):
            sys.modules.pop(name, None)
    importlib.invalidate_caches()
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
        _opened.append(path.parent)
    loader = _Loader(path.stem, str(path))
    spec = spec_from_loader(path.stem, loader)
    assert spec is not None, "the loader is given"
    module = module_from_spec(spec)
    sys.modules[path.stem] = module
    LOADING.append(plugin)
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _failure(path, error) from error
    finally:
        LOADING.pop()
    return module


def _failure(path: Path, error: BaseException) -> UserError:
    """File, line and error in a sentence."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    where = f"{path}, line {lines[-1]}" if lines else str(path)
    if isinstance(error, UserError):
        return UserError(f"plugin {where}: {error}")
    what = " ".join(str(error).split())
    return UserError(f"plugin {where} cannot be loaded ({type(error).__name__}: {what}).")


@contextmanager
def _all_or_nothing(path: Path) -> Iterator[None]:
    """Where loading fails, everything that plugins have registered is as it was."""
    saved = []
    for registry in REGISTRIES:
        saved.append((registry, {name: registry[name] for name in registry.origin}))
    origins = [dict(registry.origin) for registry in REGISTRIES]
    module = sys.modules.get(path.stem)
    try:
        yield
    except BaseException:
        for registry in REGISTRIES:
            _drop(registry, list(registry.origin))
        for (registry, things), origin in zip(saved, origins, strict=True):
            registry.update(things)
            registry.origin.update(origin)
        sys.modules.pop(path.stem, None)
        if module is not None:
            sys.modules[path.stem] = module
        _close_folders()
        raise


def _close_folders() -> None:
    """Import no more from folders that were opened for plugins which are no longer there."""
    needed = {path.parent for path in _loaded}
    for folder in [folder for folder in _opened if folder not in needed]:
        _opened.remove(folder)
        with suppress(ValueError):
            sys.path.remove(str(folder))


def _take_back(path: Path) -> None:
    for registry in REGISTRIES:
        _drop(registry, [name for name, plugin in registry.origin.items() if plugin.path == path])


def _drop(registry: Registry[Any], names: list[str]) -> None:
    for name in names:
        del registry[name]
        del registry.origin[name]


def _at_work() -> set[Path]:
    """The cells that have registered something that is still there."""
    paths: set[Path] = set()
    for registry in REGISTRIES:
        paths.update(plugin.path for plugin in registry.origin.values())
    return {path for path in paths if path.stem.startswith(CELL)}


def _listed() -> list[Path]:
    """The plugins that the environment names."""
    names = [name for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]
    return list(dict.fromkeys(Path(name).expanduser().absolute() for name in names))


def _list(paths: list[Path]) -> None:
    os.environ.pop(VARIABLE, None)
    if paths:
        os.environ[VARIABLE] = os.pathsep.join(map(str, paths))
