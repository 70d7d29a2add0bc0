"""Locks between processes."""

from __future__ import annotations

from pathlib import Path

from backend.jobs.locks import announce_worker, project_lock, worker_alive


def test_one_refresh_at_a_time(tmp_path: Path):
    with project_lock(tmp_path / "7") as first, project_lock(tmp_path / "7") as second:
        assert first
        assert not second
    with project_lock(tmp_path / "7") as again:
        assert again


def test_projects_do_not_wait_for_each_other(tmp_path: Path):
    with project_lock(tmp_path / "7") as first, project_lock(tmp_path / "8") as second:
        assert first
        assert second


def test_a_worker_is_seen_while_it_lives(tmp_path: Path):
    assert not worker_alive(tmp_path)
    sign, another = announce_worker(tmp_path), announce_worker(tmp_path)
    assert worker_alive(tmp_path)
    sign.close()
    assert worker_alive(tmp_path)
    another.close()
    assert not worker_alive(tmp_path)
