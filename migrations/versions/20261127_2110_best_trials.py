"""The trials of a study from the best one down.

Revision ID: 0008
Revises: 0007
Create Date: 2026-11-27 21:10:00
"""

import sqlalchemy as sa
from alembic import op


revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None

_COMPLETE = sa.text("status = 'complete'")


def upgrade() -> None:
    op.create_index('ix_trials_best', 'trials', ['study_id', 'objective', 'number', 'config', 'status'], sqlite_where=_COMPLETE, postgresql_where=_COMPLETE)


def downgrade() -> None:
    op.drop_index('ix_trials_best', 'trials')
