"""Progress: a notice where much is left, silence where little is, bars where they are asked for."""

from __future__ import annotations

import itertools

from pxgen_plugins.adapters import ActivationDirections, AssessorDirection, PredictableDirections
from pxgen_plugins.utils.errors import PXGenWarning
from pxgen_plugins.utils.progress import LongNotice


def test_a_notice_says_what_is_left_where_that_is_long_and_nothing_where_it_is_short(recwarn):
    for seconds, heard in ((0.001, 0), (3.0, 1)):
        recwarn.clear()
        times = itertools.count(step=seconds)
        notice = LongNotice(100, "A.fit", "Smaller n cost less.", clock=times.__next__)
        for _ in range(100):
            notice.update(1)
        assert len(recwarn) == heard
    message = str(recwarn.pop(PXGenWarning).message)
    # the first unit and the second one are done: 98 are left, of three seconds each
    assert message.startswith("A.fit: about 4.9 minutes left; verbose=True")
    assert message.endswith("Smaller n cost less.")


def test_directions_are_quiet_where_they_are_short_and_show_bars_when_asked(vae, recwarn, capfd):
    few = {"n_codes": 10, "n_random": 2, "realism": None}
    for cls, options in (
        (AssessorDirection, {"assessor": "pixel[0, 3, 3]", "n_steps": 3}),
        (ActivationDirections, {"n_components": 2, "n_samples": 20}),
        (PredictableDirections, {"n_directions": 2, "n_train": 3}),
    ):
        recwarn.clear()
        quiet = cls(vae, **options, **few).explain(None)
        assert capfd.readouterr().err == ""
        assert not [one for one in recwarn if issubclass(one.category, PXGenWarning)]
        shown = cls(vae, **options, **few, verbose=True).explain(None)
        err = capfd.readouterr().err
        assert f"{cls.__name__}.fit" in err
        assert f"{cls.__name__}.explain" in err
        assert (quiet.slope == shown.slope).all()
