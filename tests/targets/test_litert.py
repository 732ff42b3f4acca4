"""The converter to TFLite."""

import gc

import pytest

from edgeanim.core.errors import MissingComponent
from edgeanim.targets import litert


def _collected(*_: object) -> None:
    pass


@pytest.mark.parametrize("starts", [True, False])
def test_ctrl_c_is_not_lost_in_the_hook_that_jax_hangs_on_garbage_collection(
    starts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hook(*_: object) -> None:
        raise KeyboardInterrupt

    hook.__module__ = "jax._src.lib"

    def starting(*_: object, **__: object) -> None:
        assert not gc.isenabled()
        gc.callbacks.append(hook)
        if not starts:
            raise MissingComponent("No converter.", extra="compress")

    monkeypatch.setattr(litert, "require", starting)
    monkeypatch.setattr(gc, "callbacks", [*gc.callbacks, _collected])
    try:
        litert._import_converter()
    except MissingComponent:
        assert not starts
    assert hook not in gc.callbacks
    assert _collected in gc.callbacks
    assert gc.isenabled()
