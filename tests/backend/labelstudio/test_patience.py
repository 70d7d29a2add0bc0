from backend.labelstudio.patience import REST, SLOW, TRIES, Patience


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def worn_out(clock: Clock) -> Patience:
    patience = Patience(clock)
    for _ in range(TRIES):
        assert patience.tired_of("10.0.0.1") is None
        patience.failed("10.0.0.1", SLOW)
    return patience


def test_an_address_that_keeps_waiting_is_left_alone_for_a_while() -> None:
    clock = Clock()
    patience = worn_out(clock)
    assert "left alone" in str(patience.tired_of("10.0.0.1"))
    assert patience.tired_of("10.0.0.2") is None
    clock.now = REST
    assert patience.tired_of("10.0.0.1") is None  # one more try
    patience.failed("10.0.0.1", SLOW)
    assert patience.tired_of("10.0.0.1")


def test_an_answer_forgives_everything() -> None:
    clock = Clock()
    patience = worn_out(clock)
    clock.now = REST
    assert patience.tired_of("10.0.0.1") is None
    patience.answered("10.0.0.1")
    patience.failed("10.0.0.1", SLOW)
    assert patience.tired_of("10.0.0.1") is None


def test_quick_failures_hold_nobody_up_and_do_not_count() -> None:
    patience = Patience(Clock())
    for _ in range(10):
        patience.failed("10.0.0.1", SLOW / 2)
    assert patience.tired_of("10.0.0.1") is None
