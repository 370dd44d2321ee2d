"""Which units' lines are a worker's or a job's."""

from __future__ import annotations

from hostel.server.journals import units_of

FILES = (
    "hostel-router.service",
    "hostel-worker@shop-3.mail.1.service",
    "hostel-worker@shop-4.mail.1.service",
    "hostel-worker@shop-4.mail.2.service",
    "hostel-worker@shop-4.mailer.1.service",
    "hostel-worker@shop-4-5.mail.1.service",
    "hostel-worker@another-shop-4.mail.1.service",
    "hostel-cron@shop.mail.service",
    "hostel-cron@shop.mail.timer",
    "hostel-cron@shop.nightly.service",
)


def test_a_worker_is_found_in_all_its_generations_and_no_other_sites_or_names_are() -> None:
    assert units_of("shop", "mail", FILES) == [
        "hostel-cron@shop.mail.service",
        "hostel-worker@shop-3.mail.1.service",
        "hostel-worker@shop-4.mail.1.service",
        "hostel-worker@shop-4.mail.2.service",
    ]
    assert units_of("shop", "nightly", FILES) == ["hostel-cron@shop.nightly.service"]


def test_a_name_is_no_pattern() -> None:
    assert units_of("shop", ".*", FILES) == []
    assert units_of("sho.", "mail", FILES) == []
