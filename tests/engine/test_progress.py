from mmseg.engine.progress import ProgressBar


def test_plain_bar_shows_position_and_eta(capsys):
    with ProgressBar("train", 4) as bar:
        bar.advance(2)
        assert bar.plain().startswith("train [###############...............] 2/4, elapsed")
        bar.advance(2)
    assert "4/4" in capsys.readouterr().err


def test_resumed_steps_do_not_count_towards_the_speed():
    bar = ProgressBar("train", 100, done=90)
    bar.advance(5)
    start = bar._start
    assert bar.eta_seconds(now=start + 10.0) == 10.0


def test_disabled_bar_is_silent(capsys):
    with ProgressBar("train", 2, enabled=False) as bar:
        bar.advance(2)
    assert capsys.readouterr().err == ""
