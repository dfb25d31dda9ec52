"""The trials a worker holds.

Revision ID: 0009
Revises: 0008
Create Date: 2026-11-28 00:40:00
"""

import sqlalchemy as sa
from alembic import op


revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None

_LEASED = sa.text("status = 'leased'")


def upgrade() -> None:
    op.create_index('ix_trials_held', 'trials', ['worker_id'], sqlite_where=_LEASED, postgresql_where=_LEASED)


def downgrade() -> None:
    op.drop_index('ix_trials_held', 'trials')
