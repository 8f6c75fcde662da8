"""The image pool: what enters, what leaves, and that it is exact to resume."""

from __future__ import annotations

import torch

from translate.pool import ImagePool


def image(value: float) -> torch.Tensor:
    return torch.full((1, 1, 2, 2), value)


def numbers(batch: torch.Tensor) -> list[int]:
    return [int(value) for value in batch[:, 0, 0, 0]]


def test_it_fills_first_and_hands_images_through() -> None:
    pool = ImagePool(3, (1, 2, 2))
    for value in (1.0, 2.0, 3.0):
        assert torch.equal(pool(image(value)), image(value))
    assert numbers(pool.images) == [1, 2, 3]
    assert int(pool.count) == 3


def test_a_batch_that_overfills_is_remembered_as_far_as_it_fits() -> None:
    pool = ImagePool(3, (1, 2, 2))
    batch = torch.cat([image(value) for value in range(1, 6)])
    assert torch.equal(pool(batch), batch)
    assert numbers(pool.images) == [1, 2, 3]


def test_half_of_the_images_are_exchanged_and_none_is_lost_or_doubled() -> None:
    torch.manual_seed(0)
    pool = ImagePool(50, (1, 2, 2))
    seen: list[int] = []
    exchanged = 0
    for step in range(500):
        batch = torch.cat([image(4 * step + row) for row in range(4)])
        answer = numbers(pool(batch))
        assert len(set(answer)) == 4
        if step >= 13:
            exchanged += sum(value != 4 * step + row for row, value in enumerate(answer))
        seen += answer
    # Every image is either handed out exactly once or still remembered (the first 50 once more, as they passed).
    assert set(seen) | set(numbers(pool.images)) == set(range(2000))
    assert len(seen) - len(set(seen)) <= 50
    assert 0.45 < exchanged / (487 * 4) < 0.55


def test_it_is_saved_and_goes_on_the_same() -> None:
    one, two = ImagePool(4, (1, 2, 2)), ImagePool(4, (1, 2, 2))
    torch.manual_seed(1)
    for value in range(10):
        one(image(value))
    two.load_state_dict(one.state_dict())
    answers = []
    for pool in (one, two):
        torch.manual_seed(2)
        answers.append([numbers(pool(image(value))) for value in range(10, 30)])
    assert answers[0] == answers[1]


def test_the_answer_has_no_gradient_and_keeps_its_type() -> None:
    pool = ImagePool(2, (1, 2, 2))
    answer = pool(image(1.0).to(torch.bfloat16).requires_grad_())
    assert not answer.requires_grad
    assert answer.dtype == torch.bfloat16
